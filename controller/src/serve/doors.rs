//! Where the API comes in: the local socket, and the port on the network when there is one.

use std::net::SocketAddr;

use futures_util::FutureExt as _;
use tokio::{net::UnixListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::StartError;
use crate::{
    config::{ApiTls, Config},
    http::{
        self, Api, Browsers, local,
        network::{Certificate, CertificateError, Limits, Port, Source},
    },
};

/// Everything bound, nobody answered yet.
pub(super) struct Doors {
    socket: UnixListener,
    port: Option<Network>,
}

struct Network {
    port: Port,
    at: SocketAddr,
    /// Of files; one of the site's CA is made when the mesh is there.
    certificate: Option<Certificate>,
}

impl Doors {
    /// Binds both.
    ///
    /// # Errors
    /// With the cure.
    pub(super) fn bind(config: &Config) -> Result<Self, StartError> {
        let port = config.api.as_ref().map(|api| {
            let (what, at) = ("the API", api.listen);
            let wrong = |source| StartError::Port { what, at, source };
            let port = Port::bind(at).map_err(wrong)?;
            let at = port.local_addr().map_err(wrong)?;
            let certificate = match &api.tls {
                ApiTls::Files { cert, key } => Some(Certificate::open(Source::Files {
                    cert: cert.clone(),
                    key: key.clone(),
                })?),
                ApiTls::Site(_) | ApiTls::Off => None,
            };
            Ok::<_, StartError>(Network {
                port,
                at,
                certificate,
            })
        });
        Ok(Self {
            port: port.transpose()?,
            socket: local::listen(&config.api_socket)?,
        })
    }

    /// Where the port is.
    pub(super) fn addr(&self) -> Option<SocketAddr> {
        self.port.as_ref().map(|port| port.at)
    }

    /// Serves the API at both.
    ///
    /// # Errors
    /// When the site's CA makes no certificate.
    pub(super) fn open(
        self,
        api: Api,
        config: &Config,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<(), StartError> {
        let metrics = api.metrics.clone();
        let by_site = match config.api.as_ref().map(|api| &api.tls) {
            Some(ApiTls::Site(names)) => Some(by_site(&api, names)?),
            Some(ApiTls::Files { .. } | ApiTls::Off) | None => None,
        };
        let port = self.port.map(|network| Network {
            certificate: network.certificate.or(by_site),
            ..network
        });
        let shown = port.as_ref().and_then(|port| port.certificate.as_ref());
        let api = api.with_certificate(shown.map(Certificate::presented));
        let app = http::router_for(api, &browsers(config));
        if let Some(Network {
            port,
            at,
            certificate,
        }) = port
        {
            info!(%at, tls = certificate.is_some(), "the API listens");
            let (app, limits) = (app.clone(), Limits::default());
            let served = port.serve(app, certificate, limits, metrics, stop.clone());
            tasks.spawn(served.boxed());
        }
        let rule = local::PeerRule::of_this_host();
        tasks.spawn(local::serve(self.socket, app, rule, stop.clone()).boxed());
        Ok(())
    }
}

fn by_site(api: &Api, names: &[String]) -> Result<Certificate, CertificateError> {
    let mesh = api.mesh().map_err(|_| CertificateError::NoCa)?.clone();
    info!(ca_sha256 = %mesh.ca().fingerprint(), "the site's CA speaks for the API");
    Certificate::open(Source::Site {
        mesh,
        store: api.store.clone(),
        names: names.to_vec(),
    })
}

fn browsers(config: &Config) -> Browsers {
    Browsers {
        app: config.web,
        origins: config.web_origins.clone(),
    }
}
