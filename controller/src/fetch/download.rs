//! One download: redirects, bounds, the bytes into the asset folder, their checksum.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use tokio::time::{Instant, timeout};

use super::{
    Limits, Progress,
    url::{BadUrl, Scheme, Url},
};
use crate::{
    assets::{AssetError, AssetFolder, Sha256Hex, Stored},
    client::{Answer, Client, ClientError, Reach},
};

/// Why a file is not here.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The location is none.
    #[error(transparent)]
    Url(BadUrl),
    /// The sum that was given is none.
    #[error("the SHA-256 that was given is none")]
    NoSum,
    /// No answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Another answer than the file.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// What came.
        status: StatusCode,
    },
    /// Sent on, to where we do not go.
    #[error("{url} sends on to where no file may come from: {why}")]
    Redirect {
        /// Who sends on.
        url: String,
        /// Why not.
        why: String,
    },
    /// Sent on and on.
    #[error("{0} sends on again and again")]
    RedirectLoop(String),
    /// The end of the file could not be told from a broken connection.
    #[error("the server does not say how long the file is, and no checksum is known")]
    NoLength,
    /// Longer than we take.
    #[error("the file is longer than {0} bytes")]
    TooLong(u64),
    /// The connection broke in the middle.
    #[error("the connection broke after {got} bytes: {source}")]
    Truncated {
        /// Bytes that came.
        got: u64,
        /// As the protocol says.
        source: ClientError,
    },
    /// Fewer bytes than announced.
    #[error("{got} bytes came, {of} were announced")]
    Short {
        /// Bytes that came.
        got: u64,
        /// Bytes announced.
        of: u64,
    },
    /// No byte for too long.
    #[error("no byte came for {} s, after {got} bytes", after.as_secs())]
    Stalled {
        /// Bytes that came.
        got: u64,
        /// How long it was waited.
        after: Duration,
    },
    /// Bytes come, but it would take for ever.
    #[error("the server is too slow: {came} bytes came in {} s", within.as_secs())]
    Slow {
        /// Bytes that came.
        came: u64,
        /// In which time.
        within: Duration,
    },
    /// Other bytes than promised.
    #[error(
        "the file has the SHA-256 {found}, expected was {expected}: it was changed, or its list of checksums is of another day"
    )]
    Mismatch {
        /// What came.
        found: Sha256Hex,
        /// What was promised.
        expected: Sha256Hex,
    },
    /// A list of checksums that cannot be read.
    #[error("{0} is no list of checksums")]
    List(String),
    /// The disk.
    #[error(transparent)]
    Asset(#[from] AssetError),
}

impl FetchError {
    /// Whether another try may go better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Client(
                ClientError::NoAddress { .. }
                | ClientError::Connect { .. }
                | ClientError::Http(_)
                | ClientError::Late(_),
            )
            | Self::Truncated { .. }
            | Self::Short { .. }
            | Self::Stalled { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Client(_)
            | Self::Url(_)
            | Self::NoSum
            | Self::Redirect { .. }
            | Self::RedirectLoop(_)
            | Self::NoLength
            | Self::TooLong(_)
            | Self::Slow { .. }
            | Self::Mismatch { .. }
            | Self::List(_)
            | Self::Asset(_) => false,
        }
    }
}

/// The file at `url` into the folder; with a sum, exactly these bytes or nothing.
pub(super) async fn download(
    url: &Url,
    expected: Option<&Sha256Hex>,
    into: &AssetFolder,
    limits: &Limits,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Stored, FetchError> {
    let mut answer = open(url, limits).await?;
    let of = length(&answer);
    if of.is_some_and(|of| of > limits.longest) {
        return Err(FetchError::TooLong(limits.longest));
    }
    if of.is_none() && !is_chunked(&answer) && expected.is_none() {
        return Err(FetchError::NoLength);
    }
    let mut upload = into.begin(of.unwrap_or_default()).await?;
    let mut pace = Pace::new(limits);
    while let Some(bytes) = pace.next(&mut answer).await? {
        if pace.got > limits.longest {
            return Err(FetchError::TooLong(limits.longest));
        }
        upload.write(&bytes).await?;
        tell(Progress { got: pace.got, of });
    }
    if let Some(of) = of.filter(|of| *of != pace.got) {
        return Err(FetchError::Short { got: pace.got, of });
    }
    upload
        .finish(expected)
        .await
        .map_err(|error| match (error, expected) {
            (AssetError::WrongSum { found }, Some(expected)) => FetchError::Mismatch {
                found,
                expected: expected.clone(),
            },
            (error, _) => error.into(),
        })
}

/// A short text at `url`; `None` when there is none.
pub(super) async fn text(
    url: &Url,
    longest: u64,
    limits: &Limits,
) -> Result<Option<String>, FetchError> {
    let mut answer = match open(url, limits).await {
        Ok(answer) => answer,
        Err(FetchError::Status { status, .. }) if status.is_client_error() => return Ok(None),
        Err(error) => return Err(error),
    };
    let (mut text, mut pace) = (Vec::new(), Pace::new(limits));
    while let Some(bytes) = pace.next(&mut answer).await? {
        if pace.got > longest {
            return Err(FetchError::List(url.to_string()));
        }
        text.extend_from_slice(&bytes);
    }
    let text = String::from_utf8(text).map_err(|_| FetchError::List(url.to_string()))?;
    Ok(Some(text))
}

/// The answer with the file, behind its redirects.
async fn open(url: &Url, limits: &Limits) -> Result<Answer, FetchError> {
    let mut at = url.clone();
    let client = Client::default();
    for _ in 0..=limits.redirects {
        let reach = reach(url, &at);
        let request = Request::get(at.to_string()).body(Full::new(Bytes::new()));
        let request = request.map_err(|_| ClientError::BadUrl(at.to_string()))?;
        let client = client.within(reach);
        let answer = timeout(limits.head, client.open(request)).await;
        let answer = answer.map_err(|_| ClientError::Late(limits.head))??;
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let Some(location) = answer.header(header::LOCATION) else {
            return Err(wrong_status(&at, status));
        };
        if !status.is_redirection() {
            return Err(wrong_status(&at, status));
        }
        at = next(&at, location)?;
    }
    Err(FetchError::RedirectLoop(url.to_string()))
}

/// This host's own servers are asked where a person named one of them outright. Neither another server nor a name server
/// may send us there, nor one of ours to another of ours.
pub(super) fn reach(named: &Url, at: &Url) -> Reach {
    let outright = named.host == "localhost" || named.host.parse::<IpAddr>().is_ok();
    match outright && named.authority() == at.authority() {
        true => Reach::Anywhere,
        false => Reach::Outward,
    }
}

fn wrong_status(url: &Url, status: StatusCode) -> FetchError {
    FetchError::Status {
        url: url.to_string(),
        status,
    }
}

fn next(at: &Url, location: &str) -> Result<Url, FetchError> {
    let refused = |why: String| FetchError::Redirect {
        url: at.to_string(),
        why,
    };
    let next = at.join(location).map_err(|e| refused(e.to_string()))?;
    if at.scheme == Scheme::Https && next.scheme == Scheme::Http {
        return Err(refused(format!("{next} gives up https")));
    }
    Ok(next)
}

fn length(answer: &Answer) -> Option<u64> {
    answer.header(header::CONTENT_LENGTH)?.parse().ok()
}

/// Chunks have an end of their own (RFC 9112 §7.1).
fn is_chunked(answer: &Answer) -> bool {
    answer.header(header::TRANSFER_ENCODING).is_some()
}

/// Reads a body at no less than the pace that is asked for.
struct Pace<'a> {
    limits: &'a Limits,
    got: u64,
    window: Instant,
    before: u64,
}

impl<'a> Pace<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            got: 0,
            window: Instant::now(),
            before: 0,
        }
    }

    async fn next(&mut self, answer: &mut Answer) -> Result<Option<Bytes>, FetchError> {
        let (got, after) = (self.got, self.limits.stall);
        let piece = timeout(after, answer.chunk()).await;
        let piece = piece.map_err(|_| FetchError::Stalled { got, after })?;
        let piece = piece.map_err(|source| FetchError::Truncated { got, source })?;
        if let Some(bytes) = &piece {
            self.got += bytes.len() as u64;
            self.judge()?;
        }
        Ok(piece)
    }

    fn judge(&mut self) -> Result<(), FetchError> {
        if self.window.elapsed() < self.limits.window {
            return Ok(());
        }
        let (came, within) = (self.got - self.before, self.window.elapsed());
        if came < self.limits.least {
            return Err(FetchError::Slow { came, within });
        }
        (self.window, self.before) = (Instant::now(), self.got);
        Ok(())
    }
}
