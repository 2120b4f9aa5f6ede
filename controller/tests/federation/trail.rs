//! The way of a question from site to site: for whom it is asked on, whom it does not reach, how far it may go; and when peers are
//! asked again, or heard no more.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use enforcer::state::{
    ops::{RevokePeer, TakeMacs},
    peer::{NamedMacs, SiteName},
};
use ipxe::MacAddr;
use mesh_proto::message::peer::{MAX_HOPS, PeerAsk, PeerReply, Question};

use crate::{
    is_local, logged,
    town::{MAC, Town, towns},
    villain::Den,
};

const SOON: Duration = Duration::from_secs(10);

/// A site that has nothing, and remembers what it was asked.
struct Listener {
    den: Den,
    link: mesh_net::PeerLink,
    name: SiteName,
    heard: Arc<Mutex<Vec<Question>>>,
}

impl Listener {
    async fn joined_as(name: &str, town: &Town) -> Self {
        let (den, link) = Den::joined_as(name, town).await;
        let heard = Arc::<Mutex<Vec<Question>>>::default();
        let notes = Arc::clone(&heard);
        den.says(move |ask| {
            if let PeerAsk::Peek(question) = ask {
                notes.lock().unwrap().push(question.clone());
            }
            let why = "nothing here".to_owned();
            Some(PeerReply::Nothing { why })
        });
        Self {
            den,
            link,
            name: name.parse().unwrap(),
            heard,
        }
    }

    /// Asks the town, as if the question had come this way; what it hears is that there is nothing.
    async fn asks(&self, visited: &[&str]) {
        let question = Question {
            mac: MAC.to_string(),
            arch: None,
            session: None,
            visited: visited.iter().map(ToString::to_string).collect(),
            hops: u8::MAX,
        };
        let answer = self.link.ask(&PeerAsk::Peek(question), SOON).await;
        assert!(
            matches!(answer, Ok(PeerReply::Nothing { .. })),
            "{answer:?}"
        );
    }

    fn heard(&self) -> Vec<Question> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

/// Waits for its end.
async fn ended(link: &mesh_net::PeerLink) {
    while link.accept_frame().await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_asked_on_for_who_may_ask_and_never_where_it_has_been() {
    let b = Town::start("site-b").await;
    b.owns(MAC).await;
    // Both say that they have something for it; Y asks.
    let x = Listener::joined_as("site-x", &b).await;
    let y = Listener::joined_as("site-y", &b).await;
    b.allow_site(&x.name, &[], &["pool=lab"], false).await;
    b.allow_site(&y.name, &[], &["pool=lab"], false).await;
    y.asks(&[]).await;
    assert_eq!(x.heard(), [], "it may not ask about this machine");
    b.allow_site(&y.name, &["pool=lab"], &["pool=lab"], false)
        .await;
    y.asks(&[]).await;
    let heard = x.heard();
    let way = heard.first().map(|q| (q.visited.clone(), q.hops));
    let expected = ["site-y".to_owned(), "site-b".to_owned()].to_vec();
    // Whatever number it names, this was the first of three times that it was handed on.
    assert_eq!(way, Some((expected, MAX_HOPS - 2)));
    assert_eq!((heard.len(), y.den.asked()), (1, 0), "and not back");
    for (what, visited) in [
        ("here", &["site-b"][..]),
        ("there", &["site-x"]),
        ("too far", &["s1", "s2", "s3", "s4", "s5"]),
        ("nowhere", &["no site!"]),
    ] {
        y.asks(visited).await;
        assert_eq!((x.heard(), y.heard()), (vec![], vec![]), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_has_something_new_is_asked_at_once_though_it_had_nothing_a_moment_ago() {
    let (a, b) = towns().await;
    // It is believed to have something for two machines, and has not.
    let named = NamedMacs {
        site: b.name.clone(),
        macs: [MAC, MacAddr([2; 6])].into(),
    };
    assert!(a.site.apply(TakeMacs(named)).await);
    let script = a.site.script(MAC, "s1").await;
    assert!(is_local(&script), "{script}");
    b.arms("quiet").await;
    a.until("B names the one that it has something for", |v| {
        v.named_by(&b.name).is_some_and(|n| n.macs.len() == 1)
    })
    .await;
    // What was said is remembered for four seconds otherwise.
    let served = async {
        while is_local(&a.site.script(MAC, "s2").await) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let served = tokio::time::timeout(Duration::from_secs(3), served).await;
    assert!(served.is_ok(), "it is still believed to have nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_site_that_dials_again_is_not_attended() {
    logged::listen();
    let b = Town::start("site-b").await;
    let (den, link) = Den::joined_as("site-past", &b).await;
    let revoke = RevokePeer {
        site: "site-past".parse().unwrap(),
        by: "ann".to_owned(),
    };
    b.site.apply(revoke).await.unwrap();
    ended(&link).await;
    let words = ["a link with another site stands", "site=site-past"];
    let before = logged::count(&words);
    assert!(before > 0, "such a line is written otherwise");
    // A client of TLS 1.3 believes itself let in before the server has looked at its certificate.
    if let Ok(link) = den.tries_to_dial(&b).await {
        ended(&link).await;
    }
    assert_eq!(logged::count(&words), before);
}
