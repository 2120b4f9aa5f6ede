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

/// An address as it is counted: who has an IPv6 network has 2^64 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Whom(IpAddr);

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
}

/// Lets requests through as often as their address may ask.
pub(super) async fn pass(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
    let seen = request.extensions().get::<Remote>().copied();
    let ip = seen.map_or(Ipv6Addr::UNSPECIFIED.into(), |Remote(ip)| ip);
    let ip = gate.whom(ip, request.headers());
    request.extensions_mut().insert(Remote(ip));
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
mod tests {
    use axum::{Router, body::Body, middleware::from_fn_with_state};
    use tower::ServiceExt as _;

    use super::*;

    fn gate(limits: Limits, behind_proxy: bool) -> Arc<Gate> {
        Gate::new(limits, Arc::default(), behind_proxy)
    }

    /// Asks behind the gate, where `good` is who shows anything but "bad".
    async fn ask(gate: &Arc<Gate>, ip: &str, shown: Option<&str>) -> Response {
        let answer = |headers: HeaderMap| async move {
            let shown = headers.get(header::AUTHORIZATION);
            match shown.is_some_and(|s| s == "good") {
                true => StatusCode::OK,
                false => StatusCode::UNAUTHORIZED,
            }
        };
        let app = Router::new()
            .fallback(answer)
            .layer(from_fn_with_state(Arc::clone(gate), pass));
        let mut request = Request::get("/").body(Body::empty()).unwrap();
        if let Some(shown) = shown {
            let value = shown.parse().unwrap();
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let ip: IpAddr = ip.parse().unwrap();
        request.extensions_mut().insert(Remote(ip));
        app.oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn who_fails_too_often_waits_and_neighbours_do_not() {
        let limits = Limits {
            failures: 3,
            ..Limits::default()
        };
        let gate = gate(limits, false);
        let status = async |ip, shown| ask(&gate, ip, shown).await.status().as_u16();
        for _ in 0..3 {
            assert_eq!(status("192.0.2.1", Some("bad")).await, 401);
        }
        let refused = ask(&gate, "192.0.2.1", Some("good")).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        let wait = refused.headers()[header::RETRY_AFTER].to_str().unwrap();
        assert!((1..=60).contains(&wait.parse::<u32>().unwrap()), "{wait}");
        assert_eq!(
            status("::ffff:192.0.2.1", Some("good")).await,
            429,
            "the same address, written otherwise"
        );
        assert_eq!(
            status("192.0.2.1", None).await,
            401,
            "shows nothing, guesses nothing"
        );
        assert_eq!(status("192.0.2.2", Some("good")).await, 200);
        assert_eq!(gate.metrics.value(Counter::ApiRefusals, "failures"), 2);
    }

    #[tokio::test]
    async fn an_ipv6_network_is_one_address() {
        let limits = Limits {
            failures: 1,
            ..Limits::default()
        };
        let gate = gate(limits, false);
        let status = async |ip| ask(&gate, ip, Some("bad")).await.status().as_u16();
        assert_eq!(status("2001:db8::1").await, 401);
        assert_eq!(status("2001:db8::2:3").await, 429);
        assert_eq!(status("2001:db8:0:1::1").await, 401);
    }

    #[tokio::test]
    async fn who_asks_too_often_waits() {
        let limits = Limits {
            requests: 5,
            ..Limits::default()
        };
        let gate = gate(limits, false);
        // A second may begin anew in between, and then five more pass.
        let mut passed = 0;
        while ask(&gate, "192.0.2.1", Some("good")).await.status() == 200 {
            passed += 1;
            assert!(passed < 1000, "it was never refused");
        }
        assert!(passed >= 5, "{passed}");
    }

    #[tokio::test]
    async fn a_proxy_on_this_host_says_for_whom_it_asks_and_nobody_else_does() {
        let from = |ip: &str, passed: &[&str], behind_proxy| {
            let mut headers = HeaderMap::new();
            for value in passed {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            let gate = gate(Limits::default(), behind_proxy);
            gate.whom(ip.parse().unwrap(), &headers).to_string()
        };
        let passed = ["198.51.100.9, 192.0.2.7"];
        assert_eq!(from("127.0.0.1", &passed, true), "192.0.2.7");
        assert_eq!(
            from("127.0.0.1", &["192.0.2.7", "192.0.2.8"], true),
            "192.0.2.8"
        );
        assert_eq!(from("127.0.0.1", &["unknown"], true), "127.0.0.1");
        assert_eq!(from("127.0.0.1", &passed, false), "127.0.0.1");
        assert_eq!(from("192.0.2.1", &passed, true), "192.0.2.1");
    }

    #[test]
    fn connections_of_an_address_have_an_end_and_give_their_place_back() {
        let limits = Limits {
            connections: 2,
            ..Limits::default()
        };
        let gate = gate(limits, false);
        let enter = |ip: &str| gate.enter(ip.parse().unwrap());
        let (first, second) = (enter("192.0.2.1"), enter("192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(enter("192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some());
        drop(first);
        assert!(enter("192.0.2.1").is_some());
        drop(second);
        assert!(gate.counts().open.is_empty());
    }
}
