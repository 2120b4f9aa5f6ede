//! Connections beside a link: TLS over TCP to the link's own controller and port, one for each request with bytes.
//!
//! The same certificates prove the same sides. Where TCP does not get through, bytes go over the link as before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use quinn::Connection;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, TlsStream};
use tracing::info;

use crate::{
    cert::controller_name,
    tls::{Clock, LinkIdentity, TlsError, bulk_config},
    wire::{Give, Recv, beside},
};

/// Time for TCP and TLS together; a firewall that swallows the first packet costs it once for each link.
const DIAL: Duration = Duration::from_secs(3);

/// How a link opens them; clones know the same.
#[derive(Clone)]
pub(super) struct Bulk {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    /// It was tried on this link and did not go.
    shut: Arc<AtomicBool>,
}

impl Bulk {
    pub(super) fn new(identity: &LinkIdentity, clock: &Clock) -> Result<Self, TlsError> {
        let name = controller_name(&identity.own.site);
        let name = ServerName::try_from(name).map_err(|_| crate::cert::CertError::Malformed)?;
        Ok(Self {
            config: bulk_config(identity, clock)?,
            name,
            shut: Arc::default(),
        })
    }

    /// The halves of a new connection; `None`: it does not go.
    pub(super) async fn open(&self, link: &Connection) -> Option<(Give, Recv)> {
        if self.shut.load(Ordering::Relaxed) {
            return None;
        }
        let at = link.remote_address();
        let dialled = async {
            let stream = TcpStream::connect(at).await?;
            stream.set_nodelay(true)?;
            let connector = TlsConnector::from(Arc::clone(&self.config));
            connector.connect(self.name.clone(), stream).await
        };
        let why = match timeout(DIAL, dialled).await {
            Ok(Ok(stream)) => return Some(beside(TlsStream::from(stream), link)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", DIAL.as_secs()),
        };
        info!("bytes go over the link, at twice the work: TCP to {at} does not go: {why}");
        self.shut.store(true, Ordering::Relaxed);
        None
    }
}
