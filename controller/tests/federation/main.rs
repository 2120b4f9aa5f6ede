//! Federation from end to end on loopback: real controllers with their stores, desks, boot HTTP and QUIC, in one process; a
//! machine that asks as iPXE does; and a hostile site that holds a peer's certificate.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod files;
mod harmless;
mod hostile;
mod images;
mod logged;
mod peek_time;
mod shown;
#[path = "../site/mod.rs"]
mod site;
mod town;
mod trail;
mod villain;
mod wan;
#[expect(dead_code, reason = "shared: nobody counts packets here")]
#[path = "../../../mesh-proto/net/tests/net/support/wire.rs"]
mod wire;

use std::time::{Duration, Instant};

use enforcer::{
    federation::JoinError,
    metrics::{Counter, PeerCounter},
    state::{
        activation::Stage,
        ops::{PeerError, RevokePeer, TakeMacs},
        peer::NamedMacs,
    },
};
use town::{MAC, SIZES, Town, acquaint, content, linked, named, towns};

/// What a script may cost that asks peers, beside the deadline itself: two commits and a busy host.
const SLACK: Duration = Duration::from_millis(1500);

fn is_local(script: &str) -> bool {
    script.contains("boots its own disk")
        || script.contains("localboot") && !script.contains("kernel ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_lives_only_at_b_boots_a_machine_at_a_exactly_once_and_b_says_that_it_is_spent()
 {
    let (a, b) = towns().await;
    let script = a.site.script(MAC, "s0").await;
    assert!(is_local(&script), "{script}");
    let armed = b.arms("quiet host={{ name }}").await;
    named(&a).await;
    assert_eq!(
        a.explains().await,
        ("ask-peers".to_owned(), "site-b: offers live".to_owned())
    );
    assert!(
        b.site.view().activation(armed.id).unwrap().given.is_none(),
        "looking takes nothing"
    );

    for session in ["s1", "s1"] {
        let script = a.site.script(MAC, session).await;
        let nonce = armed.nonce.to_string();
        assert!(
            script.contains(&nonce) && script.contains("host=web1"),
            "{script}"
        );
        assert!(
            script.contains(&format!("http://{}/boot/n/", a.site.http)),
            "from its own controller: {script}"
        );
    }
    for (name, size) in SIZES {
        let (status, body) = a
            .site
            .get(&format!("/boot/n/{}/{name}?s=s1", armed.nonce))
            .await;
        assert_eq!((status, body == content(name, size)), (200, true), "{name}");
    }
    let closed = |v: &enforcer::state::View| !v.activation(armed.id).unwrap().is_open();
    b.until("B hears of it", closed).await;
    let spent = b.site.view().activation(armed.id).unwrap().clone();
    assert_eq!(spent.stage, Stage::Confirmed);
    assert_eq!(
        spent.reason.as_deref(),
        Some("site-a: all its files were fetched")
    );
    a.until("nothing is left to tell", |v| v.outgoing().next().is_none())
        .await;
    let script = a.site.script(MAC, "s2").await;
    assert!(is_local(&script), "once: {script}");
    a.until("B names it no more", |v| {
        v.peers_naming(MAC).next().is_none()
    })
    .await;
    assert_eq!(
        a.explains().await.1,
        "no remote Enforcer has named this MAC"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_site_is_asked_about_what_is_only_supposed() {
    let (a, b) = towns().await;
    b.arms("quiet").await;
    named(&a).await;
    let asked = || {
        let counter = Counter::Peer(PeerCounter::Asked);
        a.metrics.value(counter, "answered")
    };
    let before = asked();
    for supposed in [
        "state=seen",
        "firmware=uefi",
        "label=pool%3Dlab",
        "without_activation=true",
        "without_deployment=true",
        "without_facts=true",
        "at=2030-01-01T00:00:00Z",
    ] {
        let (plan, found) = a.explains_if(supposed).await;
        assert_eq!(plan, "ask-peers", "{supposed}");
        assert_eq!(found, "site-b has named it, and is asked", "{supposed}");
        assert_eq!(asked(), before, "{supposed}");
    }
    // Nothing supposed: it is.
    assert_eq!(a.explains().await.1, "site-b: offers live");
    assert_eq!(asked(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_b_stopped_the_machine_gets_its_disk_at_once_and_a_granted_boot_goes_on() {
    let (a, mut b) = towns().await;
    b.arms("quiet").await;
    named(&a).await;
    let granted = a.site.script(MAC, "s1").await;
    assert!(granted.contains("kernel "), "{granted}");
    a.until("the files are here", |_| {
        let files = std::fs::read_dir(a.site.state.path().join("assets/peers")).unwrap();
        // Not yet whole ones have another name.
        let whole = files.filter(|f| f.as_ref().unwrap().file_name().len() == 64);
        whole.count() == SIZES.len()
    })
    .await;
    b.stop().await;
    a.until("the link ended", |_| {
        a.federation().links_with(&b.name) == 0
    })
    .await;
    // What was granted is A's to serve, also now; what ends is kept for B.
    let script = a.site.script(MAC, "s2").await;
    assert!(script.contains("kernel "), "{script}");
    for (name, _) in SIZES {
        let nonce = a.site.view().activations().next().unwrap().nonce.clone();
        assert_eq!(
            a.site.get(&format!("/boot/n/{nonce}/{name}?s=s2")).await.0,
            200
        );
    }
    a.until("it is over here", |v| v.outgoing().count() == 1)
        .await;
    let begun = Instant::now();
    let script = a.site.script(MAC, "s3").await;
    assert!(is_local(&script), "{script}");
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    let (_, why) = a.explains().await;
    assert_eq!(why, "site-b: there is no link with it now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_goes_in_a_circle_ends() {
    let towns = [
        Town::start("site-a").await,
        Town::start("site-b").await,
        Town::start("site-c").await,
    ];
    let [a, b, c] = &towns;
    for (x, y) in [(a, b), (b, c), (c, a)] {
        acquaint(x, y).await;
    }
    for town in &towns {
        town.owns(MAC).await;
        for other in towns.iter().filter(|o| o.name != town.name) {
            town.allow(other, &["pool=lab"], &["pool=lab"], true).await;
        }
    }
    // Each says that it has something, and none has.
    for (x, y) in [(a, b), (b, c), (c, a)] {
        let named = NamedMacs {
            site: y.name.clone(),
            macs: [MAC].into(),
        };
        assert!(x.site.apply(TakeMacs(named)).await);
    }
    let begun = Instant::now();
    let script = a.site.script(MAC, "s1").await;
    assert!(is_local(&script), "{script}");
    assert!(
        begun.elapsed() < SLACK,
        "a circle is no silence: {:?}",
        begun.elapsed()
    );
    let asked = |t: &Town| t.site.view().activations().count();
    assert_eq!(towns.iter().map(asked).sum::<usize>(), 0);
    assert_eq!(
        a.explains().await.1,
        "site-b: nothing that crosses sites is due for it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_in_the_middle_hands_on_the_question_the_files_and_the_end() {
    let [a, b, c] = [
        Town::start("site-a").await,
        Town::start("site-b").await,
        Town::start("site-c").await,
    ];
    acquaint(&a, &b).await;
    acquaint(&b, &c).await;
    for town in [&b, &c] {
        town.owns(MAC).await;
    }
    c.allow(&b, &["pool=lab"], &[], false).await;
    b.allow(&c, &[], &["pool=lab"], false).await;
    b.allow(&a, &["pool=lab"], &[], false).await;
    a.allow(&b, &[], &[], true).await;
    let armed = c.arms("quiet").await;
    b.until("C named it to B", |v| v.peers_naming(MAC).next().is_some())
        .await;
    // B names to A what it has itself; that C's is behind it, A is told here by hand.
    let from_b = NamedMacs {
        site: b.name.clone(),
        macs: [MAC].into(),
    };
    assert!(a.site.apply(TakeMacs(from_b)).await);
    let script = a.site.script(MAC, "s1").await;
    assert!(script.contains(&armed.nonce.to_string()), "{script}");
    named(&a).await;
    for (name, size) in SIZES {
        let (status, body) = a
            .site
            .get(&format!("/boot/n/{}/{name}?s=s1", armed.nonce))
            .await;
        assert_eq!((status, body == content(name, size)), (200, true), "{name}");
    }
    c.until("C hears of it", |v| {
        !v.activation(armed.id).unwrap().is_open()
    })
    .await;
    let spent = c.site.view().activation(armed.id).unwrap().clone();
    assert_eq!(spent.stage, Stage::Confirmed);
    assert_eq!(
        spent.reason.as_deref(),
        Some("site-b: site-a: all its files were fetched")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_peer_gets_nothing_from_the_next_packet_on() {
    let (a, b) = towns().await;
    let armed = b.arms("quiet").await;
    named(&a).await;
    let revoke = RevokePeer {
        site: a.name.clone(),
        by: "ann".to_owned(),
    };
    b.site.apply(revoke).await.unwrap();
    let script = a.site.script(MAC, "s1").await;
    assert!(is_local(&script), "{script}");
    assert!(b.site.view().activation(armed.id).unwrap().given.is_none());
    a.until("the link ended", |_| {
        a.federation().links_with(&b.name) == 0
    })
    .await;
    b.until("the link ended", |_| {
        b.federation().links_with(&a.name) == 0
    })
    .await;
    // Invited again it begins anew, with no permission.
    acquaint(&a, &b).await;
    let script = a.site.script(MAC, "s2").await;
    assert!(is_local(&script), "{script}");
    assert!(b.site.view().peer(&a.name).unwrap().may_ask.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_good_once_and_only_at_the_site_that_made_it() {
    let [a, b, c] = [
        Town::start("site-a").await,
        Town::start("site-b").await,
        Town::start("site-b").await,
    ];
    let text = b.invites().await;
    // Another controller answers at that address, with another CA: the secret does not go there.
    let mut elsewhere = text.clone();
    elsewhere.addresses = vec![c.links];
    let refused = a.federation().join(&elsewhere, "bob".to_owned()).await;
    assert!(
        matches!(refused, Err(JoinError::Link { .. })),
        "{refused:?}"
    );
    assert_eq!(
        a.site.view().peers().count() + c.site.view().peers().count(),
        0
    );
    a.federation().join(&text, "bob".to_owned()).await.unwrap();
    linked(&a, &b.name).await;
    let refused = c.federation().join(&text, "eve".to_owned()).await;
    assert!(
        matches!(refused, Err(JoinError::Peer(PeerError::OurName(_)))),
        "{refused:?}"
    );
    let d = Town::start("site-d").await;
    let refused = d.federation().join(&text, "eve".to_owned()).await;
    assert!(
        matches!(refused, Err(JoinError::Refused { .. })),
        "{refused:?}"
    );
    assert_eq!(b.site.view().peers().count(), 1);
}
