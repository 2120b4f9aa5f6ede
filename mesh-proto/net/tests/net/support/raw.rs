//! QUIC ends that keep no rules: what a stranger or a man in the middle can do.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use mesh_proto::frame::frame;
use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    DigitallySignedStruct, Error, NamedGroup, SignatureScheme,
    client::{
        ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};

/// Believes everybody.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Counts the tickets a server hands out.
#[derive(Debug, Default)]
pub(crate) struct Tickets(AtomicUsize);

impl Tickets {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

pub(crate) type Shown = (CertificateDer<'static>, PrivateKeyDer<'static>);

pub(crate) fn client(alpn: &[u8], shown: Option<Shown>, tickets: &Arc<Tickets>) -> ClientConfig {
    let config = tls(alpn, shown, tickets);
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()))
}

/// A client that believes everybody.
pub(crate) fn tls(
    alpn: &[u8],
    shown: Option<Shown>,
    tickets: &Arc<Tickets>,
) -> rustls::ClientConfig {
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible));
    let mut config = match shown {
        Some((leaf, key)) => builder.with_client_auth_cert(vec![leaf], key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::store(Arc::clone(tickets) as Arc<dyn ClientSessionStore>);
    config
}

pub(crate) async fn dial(to: SocketAddr, config: ClientConfig) -> Connection {
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint
        .connect_with(config, to, "whoever")
        .unwrap()
        .await
        .unwrap()
}

/// A server with any certificate.
pub(crate) fn server(
    alpn: &[u8],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Endpoint {
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config).unwrap()));
    Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap()
}

/// Sends bytes as the first stream of a connection, and reads all that comes back.
pub(crate) async fn say(
    connection: &Connection,
    bytes: &[u8],
) -> Result<Vec<u8>, quinn::ReadToEndError> {
    let (mut send, mut recv): (SendStream, RecvStream) = connection.open_bi().await.unwrap();
    let _closed = send.write_all(bytes).await;
    let _closed = send.finish();
    recv.read_to_end(1 << 20).await
}

pub(crate) fn framed(json: &serde_json::Value) -> Vec<u8> {
    frame(json.to_string().as_bytes()).unwrap().to_vec()
}

/// Stands between: its own certificate to the one who dials, a session of its own to the controller, and every byte of
/// the one stream passed on.
pub(crate) fn relay(ca: CertificateDer<'static>, shown: Shown, to: SocketAddr) -> SocketAddr {
    let server = server(b"enforcer-enrol/1", vec![shown.0, ca], shown.1);
    let addr = server.local_addr().unwrap();
    tokio::spawn(async move {
        let victim = server.accept().await.unwrap().await.unwrap();
        let beyond = dial(to, client(b"enforcer-enrol/1", None, &Arc::default())).await;
        let (mut victim_send, mut victim_recv) = victim.accept_bi().await.unwrap();
        let (mut send, mut recv) = beyond.open_bi().await.unwrap();
        let forth = tokio::io::copy(&mut victim_recv, &mut send);
        let back = async {
            let copied = tokio::io::copy(&mut recv, &mut victim_send).await;
            let _closed = victim_send.finish();
            copied
        };
        let _ends = tokio::join!(forth, back);
        victim.closed().await;
    });
    addr
}
