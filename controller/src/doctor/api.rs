//! The API's port: what it proves itself by, and whether tokens go over the wire in the clear. Who has the port says `ports`.

use std::{fs, path::Path};

use super::{Findings, Grade, folder::expires};
use crate::{
    config::{ApiPort, ApiTls, Config},
    http::network::{Certificate, Source},
    state::Timestamp,
};

/// A certificate that ends so soon is told of, seconds: who renews by hand does it once a year.
const SOON_S: i64 = 14 * 86_400;

pub(super) fn look(config: &Config, now: Timestamp, found: &mut Findings) {
    let Some(port) = &config.api else {
        return;
    };
    match &port.tls {
        ApiTls::Site(_) => found.good(
            "api",
            format!("{}: the site's CA speaks for it", port.listen),
        ),
        ApiTls::Files { cert, key } => files(cert, key, now, found),
        ApiTls::Off => plain(port, found),
    }
}

/// Plain HTTP is for a proxy on this host.
fn plain(port: &ApiPort, found: &mut Findings) {
    if port.listen.ip().is_loopback() {
        let text = format!("{}: plain, for a proxy on this host", port.listen);
        return found.good("api", text);
    }
    let text = format!(
        "the API speaks plain HTTP on {}: whoever listens on that wire can take tokens",
        port.listen
    );
    let cure = "bind it to 127.0.0.1 for a proxy that speaks TLS, or leave `api.tls` out: the site's CA speaks for it then";
    found.add(Grade::Problem, "api-plain", text, cure);
}

fn files(cert: &Path, key: &Path, now: Timestamp, found: &mut Findings) {
    let source = Source::Files {
        cert: cert.to_owned(),
        key: key.to_owned(),
    };
    if let Err(error) = Certificate::open(source) {
        let cure = "the daemon's user has to read both files (in PEM, of one pair); the controller does not start so";
        return found.add(Grade::Problem, "api-certificate", error.to_string(), cure);
    }
    let end = fs::read(cert).ok().and_then(|pem| expires(&pem));
    let left = end.map(|end| end - now.as_second());
    let name = cert.display();
    let cure = "put a new one in its place: it is read within ten seconds, without a restart";
    match left {
        Some(left) if left <= 0 => {
            let text = format!("the API's certificate {name} has ended: no client takes it");
            found.add(Grade::Problem, "api-certificate-ends", text, cure);
        }
        Some(left) if left < SOON_S => {
            let text = format!(
                "the API's certificate {name} ends in {} days",
                left / 86_400
            );
            found.add(Grade::Warning, "api-certificate-ends", text, cure);
        }
        Some(_) | None => found.good("api", format!("{name} and its key can be used")),
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, path::PathBuf};

    use super::*;

    fn told(listen: &str, tls: ApiTls, now: i64) -> (Grade, String) {
        let listen: SocketAddr = listen.parse().unwrap();
        let config = Config {
            api: Some(ApiPort { listen, tls }),
            ..Config::default()
        };
        let mut found = Findings::default();
        look(&config, Timestamp::from_second(now).unwrap(), &mut found);
        let first = found.sorted().remove(0);
        let bad = first.grade != Grade::Good;
        assert_eq!(bad, !first.cure.is_empty(), "{first:?}");
        (first.grade, first.code)
    }

    /// A pair of files, and when their certificate ends.
    fn pair(folder: &Path) -> (PathBuf, PathBuf, i64) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut made = rcgen::CertificateParams::new(["boot.example".to_owned()]).unwrap();
        made.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let pem = made.self_signed(&key).unwrap().pem();
        let (cert, secret) = (folder.join("api.crt"), folder.join("api.key"));
        fs::write(&cert, &pem).unwrap();
        fs::write(&secret, key.serialize_pem()).unwrap();
        (cert, secret, expires(pem.as_bytes()).unwrap())
    }

    #[test]
    fn tokens_in_the_clear_are_a_problem_unless_a_proxy_of_this_host_takes_them() {
        let plain = |listen| told(listen, ApiTls::Off, 0);
        let problem = (Grade::Problem, "api-plain".to_owned());
        assert_eq!(plain("0.0.0.0:4843"), problem);
        assert_eq!(plain("[2001:db8::1]:4843"), problem);
        assert_eq!(plain("127.0.0.1:4843").0, Grade::Good);
        assert_eq!(plain("[::1]:4843").0, Grade::Good);
        assert_eq!(told("0.0.0.0:4843", ApiTls::Site(vec![]), 0).0, Grade::Good);
    }

    #[test]
    fn a_certificate_that_cannot_be_used_or_ends_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key, end) = pair(folder.path());
        let at = |cert: &Path, key: &Path, now| {
            let (cert, key) = (cert.to_owned(), key.to_owned());
            told("0.0.0.0:4843", ApiTls::Files { cert, key }, now)
        };
        assert_eq!(at(&cert, &key, end - 15 * 86_400).0, Grade::Good);
        let ends = |grade| (grade, "api-certificate-ends".to_owned());
        assert_eq!(at(&cert, &key, end - 13 * 86_400), ends(Grade::Warning));
        assert_eq!(at(&cert, &key, end + 1), ends(Grade::Problem));
        let unusable = (Grade::Problem, "api-certificate".to_owned());
        assert_eq!(at(&cert, &cert, 0), unusable);
        assert_eq!(at(&folder.path().join("none"), &key, 0), unusable);
        let other = tempfile::tempdir().unwrap();
        assert_eq!(
            at(&cert, &pair(other.path()).1, 0),
            unusable,
            "of another pair"
        );
    }
}
