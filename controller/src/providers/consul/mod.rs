//! Consul, over its HTTP API: the catalog's nodes with their metadata, everybody's checks, both by blocking queries.
//!
//! Written from the API's pages (Catalog, Health, Blocking Queries, Authentication). It cannot ask a node to restart: Consul's events
//! have no acknowledgement, and `consul exec` is a remote shell, which we never use.

mod catalog;
mod index;

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::{Request, StatusCode, header::HeaderValue};
use mesh_proto::json;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::de::DeserializeOwned;

use self::{
    catalog::{Checks, Nodes, members},
    index::Index,
};
use super::{Provider, ProviderError, hearing::Hearing, read_secret, serf::Garbled};
use crate::{
    client::{Client, ClientError, Trust},
    state::{ops::CommandWord, provider::NodeName},
};

/// How long Consul may hold a question before it answers that nothing changed, seconds; also how late a dead one is noticed.
const WAIT_S: u64 = 60;
/// Consul adds up to a sixteenth of the wait; the rest is for the answer itself.
const WITHIN: Duration = Duration::from_secs(WAIT_S + WAIT_S / 16 + 15);
/// How long an answer may take that waits for nothing.
const AT_ONCE: Duration = Duration::from_secs(15);
/// Largest answer, bytes: 8,192 nodes with metadata, or their checks with output.
const MAX_ANSWER: usize = 16 << 20;
/// Rest between two answers: one that never waits is asked no more often (the pages ask for a limit, too).
const REST: Duration = Duration::from_millis(500);
/// Longest word of Consul that is repeated to people, characters.
const MAX_WORDS: usize = 200;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
enum Page {
    Nodes,
    Checks,
}

impl Page {
    fn path(self) -> &'static str {
        match self {
            Self::Nodes => "/v1/catalog/nodes",
            Self::Checks => "/v1/health/state/any",
        }
    }
}

/// A Consul agent or server.
pub(super) struct Consul {
    url: String,
    ca_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
}

impl Consul {
    pub(super) fn new(url: &str, ca_file: Option<PathBuf>, token_file: Option<PathBuf>) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            ca_file,
            token_file,
        }
    }

    async fn talk(&self, hearing: &mut Hearing) -> Result<std::convert::Infallible, ProviderError> {
        let asker = Asker::new(self).await?;
        let (mut nodes_at, mut nodes) = asker.ask::<Nodes>(Page::Nodes, Index::default()).await?;
        let (mut checks_at, mut checks) =
            asker.ask::<Checks>(Page::Checks, Index::default()).await?;
        loop {
            let (heard, passed) = members(&nodes, &checks);
            hearing.all(heard, passed).await?;
            tokio::time::sleep(REST).await;
            // Whatever changes first; the other question is asked again.
            tokio::select! {
                answer = asker.ask::<Nodes>(Page::Nodes, nodes_at) => (nodes_at, nodes) = answer?,
                answer = asker.ask::<Checks>(Page::Checks, checks_at) => (checks_at, checks) = answer?,
            }
        }
    }
}

impl Provider for Consul {
    fn follow<'a>(&'a self, hearing: &'a mut Hearing) -> BoxFuture<'a, ProviderError> {
        Box::pin(async move {
            match self.talk(hearing).await {
                Ok(never) => match never {},
                Err(error) => error,
            }
        })
    }

    fn reboot<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, CommandWord> {
        Box::pin(async {
            CommandWord::Refused("Consul has no way to ask a node to restart".to_owned())
        })
    }
}

/// Asks, with the token.
struct Asker {
    client: Client,
    url: String,
    token: Option<HeaderValue>,
}

impl Asker {
    async fn new(consul: &Consul) -> Result<Self, ProviderError> {
        let client = match &consul.ca_file {
            Some(path) => Client::new(Trust::roots(read_ca(path.clone()).await?)),
            None => Client::default(),
        };
        let token = match &consul.token_file {
            Some(path) => Some(header(path, &read_secret(path).await?)?),
            None => None,
        };
        Ok(Self {
            client,
            url: consul.url.clone(),
            token,
        })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        page: Page,
        index: Index,
    ) -> Result<(Index, T), ProviderError> {
        let path = page.path();
        let mut uri = format!("{}{path}", self.url);
        if let Some(index) = index.ask() {
            uri.push_str(&format!("?index={index}&wait={WAIT_S}s"));
        }
        let mut request = Request::get(&uri);
        if let Some(token) = &self.token {
            request = request.header("X-Consul-Token", token.clone());
        }
        let request = request.body(Full::<Bytes>::default());
        let request = request.map_err(|_| ClientError::BadUrl(self.url.clone()))?;
        let within = index.ask().map_or(AT_ONCE, |_| WITHIN);
        let answer = self.client.ask(request, within, MAX_ANSWER).await?;
        if answer.status() != StatusCode::OK {
            return Err(refused(path, answer.status(), answer.body()));
        }
        let told = answer.headers().get("X-Consul-Index");
        let index = index.answered(told.and_then(|value| value.to_str().ok()));
        let read = json::from_slice(answer.body());
        Ok((index, read.map_err(|_| Garbled::NotConsul)?))
    }
}

/// In Consul's words: it says in the body why, such as `Permission denied`.
fn refused(path: &'static str, status: StatusCode, body: &[u8]) -> ProviderError {
    let words = String::from_utf8_lossy(body);
    let plain = words.chars().filter(|c| !c.is_control());
    let words: String = plain.take(MAX_WORDS).collect();
    ProviderError::Refused(path, format!("{} {words}", status.as_u16()))
}

fn header(path: &std::path::Path, token: &str) -> Result<HeaderValue, ProviderError> {
    let mut value = HeaderValue::from_str(token).map_err(|_| ProviderError::Secret {
        path: path.to_owned(),
        source: std::io::ErrorKind::InvalidData.into(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read_ca(path: PathBuf) -> Result<Vec<CertificateDer<'static>>, ProviderError> {
    let pem = tokio::fs::read(&path).await;
    let pem = pem.map_err(|source| ProviderError::Secret {
        path: path.clone(),
        source,
    })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(ProviderError::NoCa(path)),
    }
}

#[cfg(test)]
mod tests;
