//! An identity provider in this process that says what a test wants it to say: the truth, or not.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use crate::oidc::token::tests::Signer;

/// How it answers.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// With this status and JSON.
    Says(u16, Value),
    /// With so many bytes of nothing.
    Endless(usize),
    /// Never.
    Nothing,
    /// With a way to somewhere else.
    Redirect(String),
}

/// What it was asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) head: String,
    pub(super) body: String,
}

#[derive(Debug)]
struct Shared {
    /// By path; what is not here is 404.
    answers: Vec<(String, Answer)>,
    asked: Vec<Asked>,
}

/// See the module.
pub(super) struct Provider {
    pub(super) at: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    _served: JoinSet<()>,
}

impl Provider {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared {
            answers: Vec::new(),
            asked: Vec::new(),
        }));
        let mut served = JoinSet::new();
        let answers = Arc::clone(&shared);
        served.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(answer(stream, Arc::clone(&answers)));
            }
        });
        let provider = Self {
            at,
            shared,
            _served: served,
        };
        provider.says("/.well-known/openid-configuration", provider.metadata());
        provider.says("/me", json!({"sub": "s1"}));
        provider
    }

    pub(super) fn issuer(&self) -> String {
        format!("http://{}", self.at)
    }

    /// What an honest one says of itself.
    pub(super) fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer());
        json!({
            "issuer": self.issuer(),
            "authorization_endpoint": at("/auth"),
            "token_endpoint": at("/token"),
            "jwks_uri": at("/keys"),
            "userinfo_endpoint": at("/me"),
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    pub(super) fn shows(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|s| s.jwk()).collect();
        self.says("/keys", json!({ "keys": keys }));
    }

    pub(super) fn says(&self, path: &str, said: Value) {
        self.answers(path, Answer::Says(200, said));
    }

    pub(super) fn answers(&self, path: &str, answer: Answer) {
        let mut shared = self.shared.lock().unwrap();
        shared.answers.retain(|(known, _)| known != path);
        shared.answers.push((path.to_owned(), answer));
    }

    /// What it was asked at this path.
    pub(super) fn asked(&self, path: &str) -> Vec<Asked> {
        let shared = self.shared.lock().unwrap();
        let at = shared.asked.iter().filter(|asked| asked.path == path);
        at.cloned().collect()
    }
}

async fn answer(mut stream: tokio::net::TcpStream, shared: Arc<Mutex<Shared>>) {
    let Some(asked) = read(&mut stream).await else {
        return;
    };
    let found = {
        let mut shared = shared.lock().unwrap();
        let found = shared.answers.iter().find(|(path, _)| *path == asked.path);
        let found = found.map(|(_, answer)| answer.clone());
        shared.asked.push(asked);
        found
    };
    let (status, more, body) = match found {
        Some(Answer::Says(status, said)) => (status, String::new(), said.to_string()),
        Some(Answer::Endless(bytes)) => (200, String::new(), " ".repeat(bytes)),
        Some(Answer::Redirect(to)) => (302, format!("location: {to}\r\n"), String::new()),
        Some(Answer::Nothing) => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            return;
        }
        None => (404, String::new(), String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\r\n",
        body.len()
    );
    // Who does not read to the end had enough.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
}

async fn read(stream: &mut tokio::net::TcpStream) -> Option<Asked> {
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        text.extend_from_slice(&piece[..length]);
        let said = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = said.split_once("\r\n\r\n") else {
            continue;
        };
        let lower = head.to_ascii_lowercase();
        let wanted = lower.split("content-length: ").nth(1);
        let wanted = wanted.and_then(|rest| rest.lines().next()?.parse().ok());
        if body.len() >= wanted.unwrap_or(0) {
            let path = head.split(' ').nth(1)?.to_owned();
            let (head, body) = (head.to_owned(), body.to_owned());
            return Some(Asked { path, head, body });
        }
    }
}
