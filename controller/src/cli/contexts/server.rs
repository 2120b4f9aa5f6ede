//! A controller elsewhere, as the client reaches it.

use std::{fs::File, io::Read as _, path::Path};

use hyper::{
    Uri,
    header::{self, HeaderMap, HeaderValue},
};
use rustls::{
    CertificateError,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::{super::failure::Failure, file::Context};
use crate::client::{Client, ClientError, Stream, Trust};

/// Largest file of CAs, bytes: a whole host's bundle has a quarter of it.
const MAX_CA_BYTES: u64 = 1 << 20;

/// See the module. Its `Debug` shows no token.
pub(in crate::cli) struct Server {
    uri: Uri,
    authority: HeaderValue,
    bearer: HeaderValue,
    client: Client,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.uri)
    }
}

impl Server {
    /// The server of a context.
    pub(super) fn of(context: &Context) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::Usage(format!("'{}' {why}", context.server));
        let no_server =
            || wrong("is no controller's address; write it like https://boot.example.org:4843");
        let uri: Uri = context.server.parse().map_err(|_| no_server())?;
        let authority = uri.authority().ok_or_else(no_server)?;
        let host = authority.host();
        let here = ["127.0.0.1", "[::1]", "localhost"].contains(&host);
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if here => {}
            Some("http") => {
                return Err(wrong("would carry the token in the clear; use https://"));
            }
            Some(_) | None => return Err(no_server()),
        }
        if !matches!(uri.path(), "" | "/")
            || uri.query().is_some()
            || authority.as_str().contains('@')
        {
            return Err(wrong("has more than a host and a port; leave the rest out"));
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", context.token))
            .map_err(|_| Failure::Usage("the token has letters that none has".to_owned()))?;
        bearer.set_sensitive(true);
        Ok(Self {
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| no_server())?,
            bearer,
            client: Client::new(trust(context)?),
            uri,
        })
    }

    /// What only a request over the network has.
    pub(in crate::cli) fn dress(&self, headers: &mut HeaderMap) {
        headers.insert(header::HOST, self.authority.clone());
        headers.insert(header::AUTHORIZATION, self.bearer.clone());
    }

    /// A connection to it.
    pub(in crate::cli) async fn connect(&self) -> Result<Box<dyn Stream>, Failure> {
        let connected = self.client.connect_to(&self.uri).await;
        connected.map_err(|error| self.unreachable(&error.to_string(), cure(&error)))
    }

    /// Nobody there, or not who it should be.
    pub(in crate::cli) fn unreachable(&self, what: &str, cure: &str) -> Failure {
        Failure::Far(format!(
            "cannot reach the controller at {}: {what}; {cure}",
            self.uri
        ))
    }
}

fn trust(context: &Context) -> Result<Trust, Failure> {
    if let Some(digits) = &context.fingerprint {
        let digits = plain_digits(digits)?;
        let digest = digits.parse::<crate::state::trust::Digest>();
        let digest = digest.map_err(|e| Failure::Usage(format!("the fingerprint: {e}")))?;
        return Ok(Trust::pinned(digest.0));
    }
    let Some(pem) = &context.ca else {
        return Ok(Trust::default());
    };
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let roots = roots.ok().filter(|roots| !roots.is_empty());
    roots.map(Trust::roots).ok_or_else(no_ca)
}

fn no_ca() -> Failure {
    Failure::Usage(
        "there is no certificate in the CA's file; a controller's is ca/ca.crt in its state folder"
            .to_owned(),
    )
}

/// The CAs in a file, PEM.
pub(super) fn read_ca(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_CA_BYTES).read_to_string(&mut text));
    read.map_err(|e| Failure::Local(format!("cannot read {}: {e}", path.display())))?;
    let some = CertificateDer::from_pem_slice(text.as_bytes()).is_ok();
    some.then_some(text).ok_or_else(no_ca)
}

/// A fingerprint as programs spell it: with colons, in capitals.
pub(super) fn plain_digits(text: &str) -> Result<String, Failure> {
    let digits = text.replace(':', "").to_ascii_lowercase();
    let good = digits.parse::<crate::state::trust::Digest>();
    let good = good.map_err(|e| Failure::Usage(format!("the fingerprint: {e}")))?;
    Ok(good.to_string())
}

/// What to do about it.
fn cure(error: &ClientError) -> &'static str {
    let ClientError::Tls { source, .. } = error else {
        return "is `[api] listen` set there, and does the way let it through?";
    };
    let told = source
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    match told {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "no CA that you named speaks for it: give `contexts add` --ca-file (ca/ca.crt in its state folder) or --fingerprint (in the log of its start)"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "use a name or an address that its certificate has, or add this one to `api.names` there"
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                "compare the clocks of both hosts; a certificate of files has to be renewed there"
            }
            _ => "ask who runs it which certificate it shows",
        },
        Some(rustls::Error::InvalidMessage(_)) => {
            "it does not speak TLS on this port; is it the API's (4843), and not boot HTTP's?"
        }
        Some(rustls::Error::General(_)) => {
            "if its certificate was changed on purpose, add the context again with the new --fingerprint; if not, somebody stands between"
        }
        _ => "is it the API's port?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(server: &str) -> Result<Server, Failure> {
        Server::of(&Context {
            server: server.to_owned(),
            fingerprint: None,
            token: "enf_1".to_owned(),
            ca: None,
        })
    }

    #[test]
    fn a_token_goes_in_the_clear_to_this_host_only() {
        for good in [
            "https://boot.example.org:4843",
            "https://10.0.0.5/",
            "http://127.0.0.1:4843",
            "http://[::1]:4843",
        ] {
            assert!(server(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("http://10.0.0.5:4843", "in the clear"),
            ("boot.example.org:4843", "no controller's address"),
            ("ftp://boot.example.org", "no controller's address"),
            ("https://a@boot.example.org", "leave the rest out"),
            ("https://boot.example.org/api", "leave the rest out"),
            ("", "no controller's address"),
        ] {
            let told = server(bad).unwrap_err().to_string();
            assert!(told.contains(why), "{bad}: {told}");
        }
    }

    #[test]
    fn fingerprints_are_read_as_programs_write_them() {
        let plain = "ab".repeat(32);
        let spelled = vec!["AB"; 32].join(":");
        assert_eq!(plain_digits(&spelled).unwrap(), plain);
        assert!(plain_digits("abcd").is_err());
    }

    #[test]
    fn nothing_tells_the_token() {
        let server = server("https://10.0.0.5").unwrap();
        let mut headers = HeaderMap::new();
        server.dress(&mut headers);
        assert_eq!(headers[header::AUTHORIZATION], "Bearer enf_1");
        assert!(!format!("{server:?} {headers:?}").contains("enf_1"));
    }
}
