//! The HTTP client for other people's servers: mirrors, webhook receivers, management controllers.
//!
//! One request, one connection, HTTP/1.1. Redirects are not followed: an answer 3xx is an answer, so that a server cannot
//! send us to another one that only we can reach. Every wait and every body has a bound.

mod addresses;
mod pin;
mod trust;

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode, Uri, body::Incoming, client::conn::http1, header,
    http::HeaderValue,
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;

pub use trust::Trust;

/// How long one address may take to accept a connection: the next one may be reachable (IPv6 without a route).
const CONNECT: Duration = Duration::from_secs(5);
/// How we call ourselves.
pub const USER_AGENT: &str = concat!("enforcer/", env!("CARGO_PKG_VERSION"));

/// A connection, whatever carries it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Why there was no answer. Sentences for people; what a server said itself is not in them.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing that can be asked.
    #[error("'{0}' is no http:// or https:// address of a server")]
    BadUrl(String),
    /// No address.
    #[error("{host} has no address ({source})")]
    NoAddress {
        /// Which name.
        host: String,
        /// As the resolver says.
        source: io::Error,
    },
    /// An address that no server of ours or others has.
    #[error("{host} is {ip}, which is not asked: it reaches only this host or its link")]
    Forbidden {
        /// Which name.
        host: String,
        /// Its address.
        ip: IpAddr,
    },
    /// Nobody there.
    #[error("{host} cannot be reached ({source})")]
    Connect {
        /// Which name.
        host: String,
        /// As the system says.
        source: io::Error,
    },
    /// This host trusts nobody.
    #[error("this host has no CA certificates; install the package ca-certificates")]
    NoRoots,
    /// Not who it should be, or no TLS at all.
    #[error("{host} did not prove who it is ({source})")]
    Tls {
        /// Which name.
        host: String,
        /// As TLS says.
        source: io::Error,
    },
    /// Broken off, or not HTTP.
    #[error("the answer broke off ({0})")]
    Http(#[from] hyper::Error),
    /// Nothing in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Late(Duration),
    /// Too long.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
}

/// Asks servers; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Client {
    trust: Arc<Trust>,
    reach: Reach,
}

/// Which addresses a name may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Also this host's own: a person named the server.
    #[default]
    Anywhere,
    /// Not this host's own: another server named this one, and what listens on the loopback trusts whoever reaches it.
    Outward,
}

/// An answer whose body is still to come. Dropped, the connection ends.
#[derive(Debug)]
pub struct Answer {
    response: Response<Incoming>,
    _connection: JoinSet<()>,
}

impl Answer {
    /// What the server said.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// When the connection broke off before the announced end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.response.body_mut().frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The whole body, if it has no more than `most` bytes.
    ///
    /// # Errors
    /// When it is longer, or breaks off.
    pub async fn bytes(mut self, most: usize) -> Result<Bytes, ClientError> {
        let mut all = Vec::new();
        while let Some(piece) = self.chunk().await? {
            if all.len() + piece.len() > most {
                return Err(ClientError::TooLarge(most));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }
}

impl Client {
    /// A client that believes servers by `trust`.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self {
            trust: Arc::new(trust),
            reach: Reach::Anywhere,
        }
    }

    /// The same, for servers within `reach`.
    #[must_use]
    pub fn within(&self, reach: Reach) -> Self {
        Self {
            trust: Arc::clone(&self.trust),
            reach,
        }
    }

    /// Sends a request, whose URI names scheme and host, and waits for the head of the answer.
    ///
    /// # Errors
    /// When nobody answered.
    pub async fn open(&self, mut request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        let target = Target::of(request.uri())?;
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        let authority = target.authority.clone();
        *request.uri_mut() = path
            .parse()
            .map_err(|_| ClientError::BadUrl(path.to_owned()))?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, authority);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let stream = TokioIo::new(self.connect(&target).await?);
        let (mut sender, connection) = http1::handshake(stream).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(
            async move {
                // Its errors are the answer's.
                let _ = connection.await;
            }
            .boxed(),
        );
        Ok(Answer {
            response: sender.send_request(request).await?,
            _connection: tasks,
        })
    }

    /// Sends a request and takes the whole answer: within this time, and no more than `most` bytes of body.
    ///
    /// # Errors
    /// When nobody answered, or not so.
    pub async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
        most: usize,
    ) -> Result<Response<Bytes>, ClientError> {
        let exchange = async {
            let answer = self.open(request).await?;
            let (status, headers) = (answer.status(), answer.response.headers().clone());
            let mut response = Response::new(answer.bytes(most).await?);
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok(response)
        };
        let late = |_| Err(ClientError::Late(within));
        timeout(within, exchange).await.unwrap_or_else(late)
    }

    /// A connection to the server that a URI names.
    pub(crate) async fn connect_to(&self, uri: &Uri) -> Result<Box<dyn Stream>, ClientError> {
        self.connect(&Target::of(uri)?).await
    }

    async fn connect(&self, target: &Target) -> Result<Box<dyn Stream>, ClientError> {
        let stream = addresses::connect(&target.host, target.port, self.reach).await?;
        if !target.https {
            return Ok(Box::new(stream));
        }
        let stream = self.secure(&target.host, stream).await?;
        Ok(Box::new(stream))
    }

    async fn secure(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ClientError> {
        let config = self.trust.config().await?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ClientError::BadUrl(host.to_owned()))?;
        let proved = TlsConnector::from(config).connect(name, stream).await;
        proved.map_err(|source| ClientError::Tls {
            host: host.to_owned(),
            source,
        })
    }
}

/// Whom to connect to.
struct Target {
    https: bool,
    host: String,
    port: u16,
    authority: HeaderValue,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, ClientError> {
        let wrong = || ClientError::BadUrl(uri.to_string().chars().take(200).collect());
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            https,
            // Names of IPv6 hosts stand in brackets only in URLs.
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if https { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?,
        })
    }
}

#[cfg(test)]
mod tests;
