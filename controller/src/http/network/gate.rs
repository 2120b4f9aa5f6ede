//! How often an address may ask, and how often it may fail to say who it is.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::Response,
};
use ipxe_net::Quota;
use tracing::warn;

use super::super::{
    error::{Code, Problem},
    known::too_many,
};
use crate::metrics::{Counter, Metrics};

/// What one address may.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections. Default 256: a page of the web app has six, and programs watch.
    pub connections: u32,
    /// Of these, in their handshake. Default 32: a few pages that open at once.
    pub handshakes: u32,
    /// Requests per second. Default 200: a room of people behind one address.
    pub requests: u32,
    /// Failures within [`Self::failures_within`] to say who one is. Default 20: a program with an old token that asks every
    /// ten seconds does not shut out its neighbours.
    pub failures: u32,
    /// Default a minute.
    pub failures_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            handshakes: 32,
            requests: 200,
            failures: 20,
            failures_within: Duration::from_secs(60),
        }
    }
}

/// Where a request came from, over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote(pub IpAddr);

/// Whether a request came over TLS, up to us or to a proxy on this host that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct Secure(pub(in crate::http) bool);

/// An address as it is counted: who has an IPv6 network has 2^64 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::http) struct Whom(IpAddr);

impl From<IpAddr> for Whom {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(ip.into()),
            IpAddr::V6(ip) => {
                let network = ip.to_bits() >> 64 << 64;
                Self(Ipv6Addr::from_bits(network).into())
            }
        }
    }
}

/// The counts of a port.
pub(super) struct Gate {
    limits: Limits,
    metrics: Arc<Metrics>,
    /// Requests come through a proxy of this host, which says for whom.
    behind_proxy: bool,
    counts: Mutex<Counts>,
}

struct Counts {
    open: HashMap<(Whom, Kind), u32>,
    requests: Quota<Whom>,
    failures: Quota<Whom>,
}

/// What places are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Connection,
    Handshake,
}

/// A connection's place; free again when it is dropped.
pub(super) struct Place(Arc<Gate>, (Whom, Kind));

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        if let Some(open) = counts.open.get_mut(&self.1) {
            *open -= 1;
            if *open == 0 {
                counts.open.remove(&self.1);
            }
        }
    }
}

impl Gate {
    pub(super) fn new(limits: Limits, metrics: Arc<Metrics>, behind_proxy: bool) -> Arc<Self> {
        let counts = Counts {
            open: HashMap::new(),
            requests: Quota::new(limits.requests),
            failures: Quota::per(limits.failures, limits.failures_within),
        };
        Arc::new(Self {
            limits,
            metrics,
            behind_proxy,
            counts: Mutex::new(counts),
        })
    }

    /// A place for a connection; `None` when its address has too many.
    pub(super) fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        // A proxy's connections are everybody's.
        let most = match self.behind_proxy && ip.is_loopback() {
            true => u32::MAX,
            false => self.limits.connections,
        };
        self.place(ip, Kind::Connection, most)
    }

    /// A place for a handshake.
    pub(super) fn begin_handshake(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        self.place(ip, Kind::Handshake, self.limits.handshakes)
    }

    fn place(self: &Arc<Self>, ip: IpAddr, kind: Kind, most: u32) -> Option<Place> {
        let whom = (Whom::from(ip), kind);
        let mut counts = self.counts();
        let open = counts.open.get(&whom).copied().unwrap_or_default();
        if open >= most {
            return None;
        }
        counts.open.insert(whom, open + 1);
        drop(counts);
        Some(Place(Arc::clone(self), whom))
    }

    /// Counts what was refused before there was a request.
    pub(super) fn refuse(&self, reason: &str) {
        self.metrics.count(Counter::ApiRefusals, reason);
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom a request is from. Only a proxy on this host is believed, and of what it passes on only what it wrote itself: the
    /// last address.
    fn whom(&self, ip: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.behind_proxy || !ip.is_loopback() {
            return ip;
        }
        let last = headers.get_all("x-forwarded-for").iter().next_back();
        let last = last.and_then(|value| value.to_str().ok()?.rsplit(',').next());
        last.and_then(|text| text.trim().parse().ok()).unwrap_or(ip)
    }

    /// Whether a request came over TLS. Without a certificate of ours a proxy on this host may say that it has one.
    fn is_secure(&self, ip: IpAddr, headers: &HeaderMap) -> bool {
        if !self.behind_proxy {
            return true;
        }
        let said = headers.get_all("x-forwarded-proto").iter().next_back();
        ip.is_loopback() && said.is_some_and(|said| said.as_bytes() == b"https")
    }
}

/// Lets requests through as often as their address may ask.
pub(super) async fn pass(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
    let seen = request.extensions().get::<Remote>().copied();
    let ip = seen.map_or(Ipv6Addr::UNSPECIFIED.into(), |Remote(ip)| ip);
    let secure = Secure(gate.is_secure(ip, request.headers()));
    let ip = gate.whom(ip, request.headers());
    request.extensions_mut().insert(Remote(ip));
    request.extensions_mut().insert(secure);
    let whom = Whom::from(ip);
    let shows = request.headers().contains_key(header::AUTHORIZATION);
    if let Some(refused) = gate.refused(whom, shows) {
        return refused;
    }
    let response = next.run(request).await;
    if shows && response.status() == StatusCode::UNAUTHORIZED {
        gate.failed(whom);
    }
    response
}

impl Gate {
    fn refused(&self, whom: Whom, shows: bool) -> Option<Response> {
        let now = Instant::now();
        let (admitted, wait) = {
            let mut counts = self.counts();
            let wait = counts.failures.wait(&whom, now).filter(|_| shows);
            (counts.requests.admit(whom, now), wait)
        };
        let (reason, text, wait) = match (wait, admitted) {
            (Some(wait), _) => (
                "failures",
                "too many requests from your address did not show who they are; wait, and correct the token",
                wait,
            ),
            (None, false) => (
                "rate",
                "your address asks too often; wait a second",
                Duration::from_secs(1),
            ),
            (None, true) => return None,
        };
        self.refuse(reason);
        Some(too_many(Problem::new(Code::TooManyRequests, text), wait))
    }

    fn failed(&self, whom: Whom) {
        let now = Instant::now();
        let mut counts = self.counts();
        counts.failures.admit(whom, now);
        let shut = counts.failures.wait(&whom, now).is_some();
        drop(counts);
        if shut {
            warn!(address = %whom.0, "an address failed too often to show who it is, and has to wait");
        }
    }
}

#[cfg(test)]
mod tests;
