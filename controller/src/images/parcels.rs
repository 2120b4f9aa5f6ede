//! Parcels as they come over a link or in a request's body.

use std::{future::Future, io, time::Duration};

use ::image::parcel::{HEAD_BYTES, Head};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::time::timeout;

/// Longest wait for the next bytes of a person's upload: a Wi-Fi that was gone for a moment comes back.
const IDLE: Duration = Duration::from_secs(60);

/// Bytes stopped coming, or are no parcels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

/// Where bytes come from.
pub trait Source {
    /// Fills `into`. `false`: the bytes had ended before its first one.
    ///
    /// # Errors
    /// When they end in its middle, or stop coming.
    fn fill(&mut self, into: &mut [u8]) -> impl Future<Output = Result<bool, Broken>> + Send;
}

impl Source for mesh_net::Body {
    async fn fill(&mut self, into: &mut [u8]) -> Result<bool, Broken> {
        // Over a link it is said before how many come: there is no end to look for.
        let filled = mesh_net::Body::fill(self, into).await;
        filled.map(|()| true).map_err(|e| Broken(e.to_string()))
    }
}

/// The body of a request.
pub(crate) struct BodySource<S> {
    stream: S,
    rest: Bytes,
}

impl<S, E> BodySource<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            rest: Bytes::new(),
        }
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        match timeout(IDLE, self.stream.next()).await {
            Err(_) => Err(Broken(format!("nothing came for {} s", IDLE.as_secs()))),
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
            Ok(Some(Err(error))) => Err(Broken(error.to_string())),
        }
    }
}

impl<S, E> Source for BodySource<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
    E: std::fmt::Display + Send,
{
    async fn fill(&mut self, into: &mut [u8]) -> Result<bool, Broken> {
        let mut at = 0;
        while at < into.len() {
            let Some(mut bytes) = self.next().await? else {
                let cut = || Broken("it was cut short".to_owned());
                return if at == 0 { Ok(false) } else { Err(cut()) };
            };
            let len = bytes.len().min(into.len() - at);
            into[at..at + len].copy_from_slice(&bytes.split_to(len));
            (self.rest, at) = (bytes, at + len);
        }
        Ok(true)
    }
}

/// The next parcel, its content in `into`, which grows when it has to; `None`: there are no more.
pub(super) async fn parcel(
    source: &mut (impl Source + Send),
    into: &mut Vec<u8>,
) -> Result<Option<Head>, Broken> {
    let mut head = [0; HEAD_BYTES];
    if !source.fill(&mut head).await? {
        return Ok(None);
    }
    let head = Head::parse(&head).map_err(|e| Broken(e.to_string()))?;
    // Checked by `parse`: at most a chunk and a little.
    let len = head.len as usize;
    if into.len() < len {
        into.resize(len, 0);
    }
    if len > 0 && !source.fill(&mut into[..len]).await? {
        return Err(Broken("it was cut short".to_owned()));
    }
    Ok(Some(head))
}

impl From<Broken> for io::Error {
    fn from(broken: Broken) -> Self {
        Self::other(broken.0)
    }
}
