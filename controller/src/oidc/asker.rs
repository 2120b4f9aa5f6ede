//! Asks the provider: what it is, for its keys, for tokens, for more about a person. Each answer has a bound in time and bytes,
//! and no redirect is followed.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, StatusCode, Uri, header,
    http::{request::Builder, uri::Authority},
};
use mesh_proto::message::Secret;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Map, Value};
use tokio::io::AsyncReadExt as _;

use super::{
    OidcError, OidcSettings,
    attempt::Attempt,
    claims::Claims,
    keys::Keys,
    metadata::{Metadata, object},
};
use crate::client::{Client, Reach, Trust};

/// Largest answer, bytes: tokens and what is said of people have some tens of kilobytes, key sets with chains too.
const MAX_ANSWER: usize = 128 << 10;
/// Largest file of a secret or of a CA, bytes.
const MAX_FILE: u64 = 1 << 20;
/// Longest word of a provider that is passed on.
const MAX_WORD: usize = 64;
/// Where a provider says what it is (OpenID Connect Discovery §4).
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// What is known of a provider.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) metadata: Metadata,
    pub(super) keys: Keys,
    pub(super) since: Instant,
    asker: Asker,
}

/// Sends requests.
#[derive(Debug, Clone)]
struct Asker {
    client: Client,
    issuer: String,
    patience: Duration,
}

/// What a code was good for.
pub(super) struct Tokens {
    pub(super) id: Secret,
    pub(super) access: Option<Secret>,
}

impl Known {
    /// Asks the provider of these settings.
    pub(super) async fn ask(
        settings: &OidcSettings,
        patience: Duration,
    ) -> Result<Self, OidcError> {
        let issuer = settings.issuer.as_str();
        let asker = Asker {
            client: match &settings.ca_file {
                Some(path) => Client::new(Trust::roots(authorities(path).await?)),
                None => Client::default(),
            },
            issuer: issuer.to_owned(),
            patience,
        };
        let url = format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/'));
        let body = asker.get("what it is", &url).await?;
        let metadata = Metadata::parse(&body, issuer)?;
        Ok(Self {
            keys: asker.keys(&metadata).await?,
            metadata,
            since: Instant::now(),
            asker,
        })
    }

    /// The same with the keys of now.
    pub(super) async fn with_newer_keys(&self) -> Result<Self, OidcError> {
        Ok(Self {
            keys: self.asker.keys(&self.metadata).await?,
            metadata: self.metadata.clone(),
            since: self.since,
            asker: self.asker.clone(),
        })
    }

    /// The tokens for a code.
    pub(super) async fn tokens(
        &self,
        attempt: &Attempt,
        code: &str,
        settings: &OidcSettings,
    ) -> Result<Tokens, OidcError> {
        let what = "an ID token";
        let secret = secret(settings).await?;
        let (body, shown) = attempt.exchange(code, secret.as_ref(), &self.metadata, settings);
        let mut request = Request::post(&self.metadata.token)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(shown) = &shown {
            request = request.header(header::AUTHORIZATION, shown);
        }
        let (status, body) = self.asker.send(what, request, body).await?;
        let said = object(&body);
        if status != StatusCode::OK {
            return Err(refusal(what, status, said.as_ref()));
        }
        let said = said.ok_or_else(|| strange(what))?;
        let secret = |key: &str| said.get(key).and_then(Value::as_str).map(Secret::new);
        Ok(Tokens {
            id: secret("id_token").ok_or(OidcError::NoToken)?,
            access: secret("access_token"),
        })
    }

    /// What else the provider says of whose token this is; `None` when it says no more.
    pub(super) async fn more(&self, tokens: &Tokens) -> Result<Option<Claims>, OidcError> {
        let (Some(url), Some(token)) = (&self.metadata.userinfo, &tokens.access) else {
            return Ok(None);
        };
        let what = "more about the person";
        let shown = format!("Bearer {}", token.expose());
        let request = Request::get(url).header(header::AUTHORIZATION, shown);
        let (status, body) = self.asker.send(what, request, String::new()).await?;
        if status != StatusCode::OK {
            return Err(refusal(what, status, None));
        }
        let said = object(&body).and_then(Claims::of);
        said.map(Some).ok_or_else(|| strange(what))
    }
}

impl Asker {
    async fn keys(&self, metadata: &Metadata) -> Result<Keys, OidcError> {
        let body = self.get("its keys", &metadata.keys).await?;
        Ok(Keys::parse(&body)?)
    }

    async fn get(&self, what: &'static str, url: &str) -> Result<Bytes, OidcError> {
        let (status, body) = self.send(what, Request::get(url), String::new()).await?;
        match status {
            StatusCode::OK => Ok(body),
            status => Err(refusal(what, status, None)),
        }
    }

    async fn send(
        &self,
        what: &'static str,
        request: Builder,
        body: String,
    ) -> Result<(StatusCode, Bytes), OidcError> {
        let why = |error: &dyn std::fmt::Display| OidcError::Asked {
            what,
            why: error.to_string(),
        };
        let request = request.header(header::ACCEPT, "application/json");
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| why(&error))?;
        // A person named the provider's own address. Where else it leads is its word: not to what listens on this host.
        let client = match request.uri().authority() == authority(&self.issuer).as_ref() {
            true => self.client.clone(),
            false => self.client.within(Reach::Outward),
        };
        let answer = client.ask(request, self.patience, MAX_ANSWER).await;
        let answer = answer.map_err(|error| why(&error))?;
        Ok((answer.status(), answer.into_body()))
    }
}

fn authority(url: &str) -> Option<Authority> {
    url.parse::<Uri>().ok()?.into_parts().authority
}

/// Its word for why not (RFC 6749 §5.2), else the status.
fn refusal(what: &'static str, status: StatusCode, said: Option<&Map<String, Value>>) -> OidcError {
    let word = said.and_then(|said| said.get("error")?.as_str());
    match word {
        Some(word) => OidcError::Refused(plain(word)),
        None => OidcError::Asked {
            what,
            why: format!("it answered {}", status.as_u16()),
        },
    }
}

/// A provider's word, for a sentence.
pub(super) fn plain(word: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || "_-. ".contains(*c);
    word.chars().filter(plain).take(MAX_WORD).collect()
}

fn strange(what: &'static str) -> OidcError {
    let why = "the answer is no JSON object that says it".to_owned();
    OidcError::Asked { what, why }
}

/// What shows that we are who we say; `None` when PKCE alone does.
pub(super) async fn secret(settings: &OidcSettings) -> Result<Option<Secret>, OidcError> {
    let Some(path) = &settings.client_secret_file else {
        return Ok(None);
    };
    let bytes = read(path).await?;
    let text = std::str::from_utf8(&bytes)
        .map(str::trim)
        .unwrap_or_default();
    match text.is_empty() {
        true => Err(unreadable(path, "it holds no text")),
        false => Ok(Some(Secret::new(text))),
    }
}

async fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, OidcError> {
    let pem = read(path).await?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.unwrap_or_default();
    match found.is_empty() {
        true => Err(unreadable(path, "it has no certificate in PEM")),
        false => Ok(found),
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, OidcError> {
    let read = async {
        let mut bytes = Vec::new();
        let file = tokio::fs::File::open(path).await?;
        file.take(MAX_FILE).read_to_end(&mut bytes).await?;
        Ok::<_, std::io::Error>(bytes)
    };
    read.await
        .map_err(|error| unreadable(path, &error.to_string()))
}

fn unreadable(path: &Path, why: &str) -> OidcError {
    OidcError::File {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}
