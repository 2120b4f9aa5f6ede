//! The mesh of sites between real controllers: what people are shown, and what is counted.

use enforcer::{
    metrics::{Counter, PeerCounter},
    state::ops::{MovePeer, RevokePeer},
};

use std::time::Duration;

use mesh_net::{CloseCode, LinkEnd};
use mesh_proto::message::peer::{PeerAsk, PeerReply};

use crate::{
    town::{MAC, SIZES, Town, acquaint, named, towns},
    villain::Den,
};

/// The peer as `peers list` has it.
async fn shown(town: &Town, site: &Town) -> serde_json::Value {
    let (status, told) = town.site.api(&format!("/peers/{}", site.name)).await;
    assert_eq!(status, 200, "{told}");
    told
}

async fn heard(town: &Town) -> Vec<(String, Vec<String>, bool)> {
    let (status, told) = town.site.api("/heard-sites").await;
    assert_eq!(status, 200, "{told}");
    let items = told["items"].as_array().unwrap().iter();
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    let through = |v: &serde_json::Value| v.as_array().unwrap().iter().map(text).collect();
    items
        .map(|h| {
            let alive = h["alive"].as_bool().unwrap();
            (text(&h["site"]), through(&h["through"]), alive)
        })
        .collect()
}

async fn hears(town: &Town, what: &'static str, wanted: &[(&str, &[&str], bool)]) {
    let owned = |(site, through, alive): &(&str, &[&str], bool)| {
        let through = through.iter().map(ToString::to_string).collect();
        (site.to_string(), through, *alive)
    };
    let wanted: Vec<(String, Vec<String>, bool)> = wanted.iter().map(owned).collect();
    let reached = async {
        while heard(town).await != wanted {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let reached = tokio::time::timeout(std::time::Duration::from_secs(30), reached).await;
    assert!(reached.is_ok(), "never: {what}; {:?}", heard(town).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_alive_while_a_link_stands_and_its_peers_are_heard_of_until_it_is_revoked() {
    let [a, b, mut c] = [
        Town::start("site-a").await,
        Town::start("site-b").await,
        Town::start("site-c").await,
    ];
    acquaint(&a, &b).await;
    let b_shown = shown(&a, &b).await;
    assert_eq!(b_shown["presence"], "alive", "{b_shown}");
    assert!(b_shown["rtt_ms"].is_u64() && b_shown["presence_since"].is_string());
    acquaint(&b, &c).await;
    hears(&a, "of C through B", &[("site-c", &["site-b"], true)]).await;
    hears(&c, "of A through B", &[("site-a", &["site-b"], true)]).await;
    assert!(
        a.site.view().peer(&c.name).is_none(),
        "heard of is not known"
    );
    assert_eq!(heard(&b).await, [], "B has joined both");

    c.stop().await;
    b.until("C's link ended", |_| {
        b.federation().links_with(&c.name) == 0
    })
    .await;
    let c_shown = shown(&b, &c).await;
    assert_ne!(c_shown["presence"], "alive", "{c_shown}");
    assert!(c_shown["rtt_ms"].is_null(), "{c_shown}");

    let revoke = RevokePeer {
        site: b.name.clone(),
        by: "ann".to_owned(),
    };
    a.site.apply(revoke).await.unwrap();
    hears(&a, "of nobody", &[]).await;
    let b_shown = shown(&a, &b).await;
    assert!(b_shown["presence"].is_null(), "{b_shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_links_with_a_site_the_newer_one_stays() {
    let a = Town::start("site-a").await;
    let (den, first) = Den::joined(&a).await;
    let site = "site-x".parse().unwrap();
    assert_eq!(a.federation().links_with(&site), 1);
    let second = den.dials(&a).await;
    a.until("both stand", |_| a.federation().links_with(&site) == 2)
        .await;
    a.until("one stands", |_| a.federation().links_with(&site) == 1)
        .await;
    let superseded = |end: Option<LinkEnd>| {
        let code = CloseCode::Superseded;
        matches!(end, Some(LinkEnd::ByPeer { code: c, .. }) if c == code)
    };
    // The other side hears of it a moment later.
    while first.accept_frame().await.is_ok() {}
    assert!(superseded(first.end()), "{:?}", first.end());
    let macs = vec![MAC.to_string()];
    let told = second
        .ask(&PeerAsk::Macs { macs }, Duration::from_secs(10))
        .await;
    assert_eq!(told, Ok(PeerReply::Noted));
    assert_eq!(
        a.site.view().peers_naming(MAC).count(),
        1,
        "what it told is still known"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_dials_without_end_has_four_links_at_most() {
    let a = Town::start("site-a").await;
    let (den, _first) = Den::joined(&a).await;
    let site = "site-x".parse().unwrap();
    let links = futures_util::future::join_all((0..8).map(|_| den.dials(&a))).await;
    let rejected = Counter::Peer(PeerCounter::Rejected);
    a.until("some are too many", |_| {
        a.metrics.value(rejected, "link") > 0
    })
    .await;
    assert!(a.federation().links_with(&site) <= 4);
    let busy = |end: Option<LinkEnd>| {
        let code = CloseCode::Busy;
        matches!(end, Some(LinkEnd::ByPeer { code: c, .. }) if c == code)
    };
    a.until("they hear so", |_| links.iter().any(|l| busy(l.end())))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_travels_between_sites_is_counted() {
    let (a, b) = towns().await;
    let armed = b.arms("quiet").await;
    named(&a).await;
    a.site.script(MAC, "s1").await;
    a.until("the files are here", |_| {
        let files = std::fs::read_dir(a.site.state.path().join("assets/peers")).unwrap();
        files
            .filter(|f| f.as_ref().unwrap().file_name().len() == 64)
            .count()
            == SIZES.len()
    })
    .await;
    let bytes: usize = SIZES.iter().map(|(_, size)| size).sum();
    let count = |town: &Town, counter, label| town.metrics.value(counter, label);
    assert_eq!(
        count(&a, Counter::Peer(PeerCounter::Bytes), "files-in"),
        bytes as u64
    );
    assert_eq!(
        count(&b, Counter::Peer(PeerCounter::Bytes), "files-out"),
        bytes as u64
    );
    // Peek, claim, two files; and A's word on its own machines.
    assert!(count(&a, Counter::Peer(PeerCounter::Asked), "answered") >= 5);
    assert!(count(&b, Counter::Peer(PeerCounter::Answered), "answered") >= 5);
    a.until("gossip goes both ways", |_| {
        ["gossip-in", "gossip-out"]
            .iter()
            .all(|way| count(&a, Counter::Peer(PeerCounter::Bytes), way) > 0)
            && count(&a, Counter::Peer(PeerCounter::Frames), "taken") > 0
    })
    .await;
    for refused in [
        "forged",
        "malformed",
        "too-many",
        "unreadable",
        "not-joined",
    ] {
        assert_eq!(
            count(&a, Counter::Peer(PeerCounter::Frames), refused),
            0,
            "{refused}"
        );
    }
    assert!(armed.is_open());
    let text = a.metrics.render();
    for family in ["asked", "answered", "bytes", "frames"] {
        let family = format!("# TYPE enforcer_peer_{family}_total counter");
        assert!(text.contains(&family), "{family} in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_peer_listens_is_written_down_before_what_people_wrote_which_is_kept() {
    let (a, b) = (Town::start("site-a").await, Town::start("site-b").await);
    acquaint(&a, &b).await;
    let before = a.site.view().peer(&b.name).unwrap().addresses.clone();
    let elsewhere = "192.0.2.9:4848".parse().unwrap();
    let moves = |addresses| MovePeer {
        site: b.name.clone(),
        addresses,
    };
    assert!(a.site.apply(moves(vec![elsewhere])).await);
    let after = a.site.view().peer(&b.name).unwrap().addresses.clone();
    assert_eq!(after, [&[elsewhere], &before[..]].concat());
    assert!(!a.site.apply(moves(before)).await, "nothing new");
    assert!(!a.site.apply(moves(Vec::new())).await);
    let crowd = (0..9).map(|n| ([192, 0, 2, n], 1).into()).collect();
    assert!(!a.site.apply(moves(crowd)).await, "more than a site has");
    let revoke = RevokePeer {
        site: b.name.clone(),
        by: "ann".to_owned(),
    };
    a.site.apply(revoke).await.unwrap();
    let late = vec!["192.0.2.10:4848".parse().unwrap()];
    assert!(!a.site.apply(moves(late)).await, "it is revoked");
}
