//! By what the API's port proves who it is: a certificate of the site's CA, renewed by itself, or files that are read again
//! when they change. Connections that stand keep what they were shown.

use std::{
    collections::BTreeSet,
    fmt, fs,
    io::{self, Read as _},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use ipxe_net::dhcp::own_addresses;
use mesh_net::{KeyError, NodeKey, keys::certificate_der};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring::default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::ResolvesServerCert,
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::shown::{Presented, Shown};
use crate::{
    ca::{CaError, fresh_serial},
    mesh::Mesh,
    ordered::Gather as _,
    store::Store,
};

/// How long a certificate of the site's CA is good, seconds; it is renewed at two thirds of that.
const LIVES_S: i64 = 90 * 24 * 3600;
/// How long before its end that is, seconds.
pub const RENEWED_BEFORE_END_S: i64 = LIVES_S - LIVES_S * 2 / 3;
/// How often files, names and ends are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// Largest file of a certificate or a key, bytes: long chains have some tens of kilobytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The site's CA.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// A key of ours.
    #[error("a key cannot be made ({0}); please report it with the log")]
    Key(#[from] KeyError),
    /// A file.
    #[error("cannot read {}; correct `api.cert_file` and `api.key_file`, or their rights", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// As the system says.
        source: io::Error,
    },
    /// A file of something else.
    #[error("{} has no {what} in PEM; name the right file", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
    },
    /// They do not fit together.
    #[error("the certificate and the key cannot be used ({0}); are they of one pair?")]
    Pair(#[from] rustls::Error),
    /// No CA to speak for the port.
    #[error(
        "the site's CA is the mesh's; set `mesh = true`, or name `api.cert_file` and `api.key_file`"
    )]
    NoCa,
}

/// Where the certificate comes from.
#[derive(Clone)]
pub enum Source {
    /// The site's CA.
    Site {
        /// Whose CA it is.
        mesh: Mesh,
        /// The time.
        store: Store,
        /// Names and addresses beside the host's own.
        names: Vec<String>,
    },
    /// Files of the host's people.
    Files {
        /// The chain, PEM, the server's certificate first.
        cert: PathBuf,
        /// Its key, PEM.
        key: PathBuf,
    },
}

/// What a certificate was made from: when that differs, it is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Made {
    Site { names: BTreeSet<String>, renew: i64 },
    Files([Option<SystemTime>; 2]),
}

/// The certificate that is shown.
pub struct Certificate {
    source: Source,
    made: Made,
    shown: Arc<Shown>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({:?})", self.made)
    }
}

impl Certificate {
    /// The first one.
    ///
    /// # Errors
    /// With the cure.
    pub fn open(source: Source) -> Result<Self, CertificateError> {
        let made = source.look(None);
        let shown = Arc::new(Shown::new(source.make(&made)?));
        Ok(Self {
            source,
            made,
            shown,
        })
    }

    /// How TLS is spoken with it. TLS 1.2 too, for programs that know nothing newer.
    #[must_use]
    pub fn tls(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring knows TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// To look at what is shown, also later.
    #[must_use]
    pub fn presented(&self) -> Presented {
        let by_site = matches!(self.source, Source::Site { .. });
        Presented::new(Arc::clone(&self.shown), by_site)
    }

    /// Renews it, or reads it again, until `stop`.
    pub async fn keep(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => self.refresh(),
            }
        }
    }

    /// Makes it anew when what it was made from is another. What cannot be used is told, and the old one stays.
    pub fn refresh(&mut self) {
        let made = self.source.look(Some(&self.made));
        if made == self.made {
            return;
        }
        match self.source.make(&made) {
            Ok(key) => {
                self.shown.replace(key);
                info!("the API shows a new certificate");
            }
            Err(error) => {
                error!(%error, "the API's certificate could not be renewed; the old one stays");
            }
        }
        // Told once: a file that is wrong is looked at again when it changes.
        self.made = made;
    }
}

impl Source {
    /// What a certificate is made from now. One of the site's stays as it is until its names change or it is time.
    fn look(&self, before: Option<&Made>) -> Made {
        match self {
            Self::Site { store, names, .. } => {
                let (names, now) = (all_names(names), now(store));
                let stays = before.filter(
                    |made| matches!(made, Made::Site { names: n, renew } if *n == names && now < *renew),
                );
                let renew = now + LIVES_S * 2 / 3;
                stays.cloned().unwrap_or(Made::Site { names, renew })
            }
            Self::Files { cert, key } => Made::Files([changed(cert), changed(key)]),
        }
    }

    fn make(&self, made: &Made) -> Result<CertifiedKey, CertificateError> {
        let (chain, key) = match (self, made) {
            (Self::Site { mesh, store, .. }, Made::Site { names, .. }) => {
                let key = NodeKey::generate()?;
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let issued = now(store);
                let (ca, serial) = (mesh.ca(), fresh_serial());
                let pem =
                    ca.issue_server(&names, &key.spki(), &serial, issued, issued + LIVES_S)?;
                // With the CA: who knows it by its fingerprint finds it there.
                let chain = vec![certificate_der(&pem)?, certificate_der(ca.pem())?];
                (chain, key.to_der())
            }
            (Self::Files { cert, key }, Made::Files(_)) => (read_chain(cert)?, read_key(key)?),
            (Self::Site { .. }, Made::Files(_)) | (Self::Files { .. }, Made::Site { .. }) => {
                return Err(CertificateError::NoCa);
            }
        };
        Ok(CertifiedKey::from_der(chain, key, &provider())?)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

/// Never before the newest certificate that was issued.
fn now(store: &Store) -> i64 {
    store.view().issuing_time(store.now()).at.as_second()
}

/// What people may write behind `https://`: the host's name and addresses, and what the configuration adds.
fn all_names(more: &[String]) -> BTreeSet<String> {
    let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let own = own_addresses().into_iter().map(|ip| ip.to_string());
    let host = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host
        .map(|name| name.trim().to_owned())
        .filter(|name| is_name(name));
    let mut names: BTreeSet<String> = loopback.into_iter().chain(own).chain(host).gather();
    names.extend(more.iter().cloned());
    names
}

/// Whether a text can stand in a certificate as a host's name or address.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let host = (1..=253).contains(&text.len())
        && text.chars().all(plain)
        && !text.starts_with(['.', '-'])
        && !text.ends_with('.');
    host || text.parse::<IpAddr>().is_ok()
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|m| m.modified()).ok()
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let text = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    chain.ok_or_else(|| CertificateError::Pem {
        path: path.to_owned(),
        what: "certificate",
    })
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| CertificateError::Pem {
        path: path.to_owned(),
        what: "private key",
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let mut text = Vec::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut text));
    read.map_err(|source| CertificateError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate that is its own issuer, and its key, in files.
    fn pair(folder: &Path, name: &str) -> [u8; 32] {
        use sha2::Digest as _;
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        sha2::Sha256::digest(made.cert.der()).into()
    }

    fn shown(certificate: &Certificate) -> [u8; 32] {
        use sha2::Digest as _;
        sha2::Sha256::digest(certificate.presented().leaf()).into()
    }

    /// As after the next tick of a coarse file system.
    fn touch(path: &Path, second: u64) {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(at).unwrap();
    }

    #[test]
    fn files_are_read_again_when_they_change_and_a_wrong_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        let source = Source::Files {
            cert: cert.clone(),
            key: key.clone(),
        };
        assert!(matches!(
            Certificate::open(source.clone()),
            Err(CertificateError::File { .. })
        ));
        let first = pair(folder.path(), "one.example");
        touch(&cert, 1);
        let mut certificate = Certificate::open(source).unwrap();
        assert_eq!(shown(&certificate), first);
        fs::write(&cert, "not a certificate").unwrap();
        touch(&cert, 2);
        certificate.refresh();
        assert_eq!(shown(&certificate), first);
        let second = pair(folder.path(), "two.example");
        touch(&cert, 3);
        certificate.refresh();
        assert_eq!(shown(&certificate), second);
        pair(folder.path(), "three.example");
        fs::write(&key, NodeKey::generate().unwrap().to_pem().expose()).unwrap();
        touch(&cert, 4);
        certificate.refresh();
        assert_eq!(shown(&certificate), second, "the key is of another pair");
    }

    #[test]
    fn names_are_hosts_and_addresses() {
        for good in [
            "boot.example.org",
            "pi",
            "10.0.0.1",
            "::1",
            "xn--bcher-kva.example",
        ] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            "a b",
            "https://a",
            ".a",
            "a.",
            "-a",
            "ä",
            "a:4843",
            &"x".repeat(254),
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
