//! From a name to a connection, and which addresses are never asked.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::{CONNECT, ClientError, Reach};

/// Addresses of one name that are tried.
const TRIED: usize = 4;

/// Connects to the first address of `host` that answers. What is checked is what is connected to: a name cannot change
/// its address in between.
pub(super) async fn connect(host: &str, port: u16, reach: Reach) -> Result<TcpStream, ClientError> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in resolve(host, port, reach).await? {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A request is one write; waiting for more to send only delays it. It works without, too.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(ClientError::Connect {
        host: host.to_owned(),
        source: failed,
    })
}

async fn resolve(host: &str, port: u16, reach: Reach) -> Result<Vec<SocketAddr>, ClientError> {
    let found = timeout(CONNECT, lookup_host((host, port))).await;
    let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let found = found.map_err(|source| ClientError::NoAddress {
        host: host.to_owned(),
        source,
    })?;
    let found: Vec<SocketAddr> = found.take(TRIED).collect();
    match found.iter().find(|a| !may_be_asked(a.ip(), reach)) {
        Some(address) => Err(ClientError::Forbidden {
            host: host.to_owned(),
            ip: address.ip(),
        }),
        None => Ok(found),
    }
}

/// Link-local addresses are where clouds keep the secrets of a host (169.254.169.254); the others are nobody's.
fn may_be_asked(ip: IpAddr, reach: Reach) -> bool {
    let ip = ip.to_canonical();
    if reach == Reach::Outward && ip.is_loopback() {
        return false;
    }
    match ip {
        IpAddr::V4(ip) => {
            !(ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || ip.octets()[0] == 0)
        }
        IpAddr::V6(ip) => !(ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_only_mean_something_here_are_not_asked() {
        for (ip, asked) in [
            ("192.168.1.9", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("2001:db8::1", true),
            ("169.254.169.254", false),
            ("::ffff:169.254.169.254", false),
            ("fe80::1", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("::", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(
                may_be_asked(ip.parse().unwrap(), Reach::Anywhere),
                asked,
                "{ip}"
            );
        }
        for ip in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(!may_be_asked(ip.parse().unwrap(), Reach::Outward), "{ip}");
        }
    }
}
