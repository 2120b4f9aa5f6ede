//! Claims about what an address may.

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
fn only_a_proxy_on_this_host_says_that_it_speaks_tls() {
    let secure = |ip: &str, said: Option<&str>, behind_proxy| {
        let said = said.map(|said| ("x-forwarded-proto".parse().unwrap(), said.parse().unwrap()));
        let gate = gate(Limits::default(), behind_proxy);
        let headers: HeaderMap = said.into_iter().collect();
        gate.is_secure(ip.parse().unwrap(), &headers)
    };
    assert!(secure("192.0.2.1", None, false));
    assert!(secure("127.0.0.1", Some("https"), true));
    assert!(!secure("127.0.0.1", Some("http"), true));
    assert!(!secure("127.0.0.1", None, true));
    assert!(!secure("192.0.2.1", Some("https"), true));
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
