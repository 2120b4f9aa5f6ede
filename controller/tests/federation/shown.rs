//! What people of one site see of another: machines in one list, and what happens to them, live.

use std::time::{Duration, Instant};

use enforcer::{
    federation::Watched,
    state::{event::Draft, ops::RevokePeer},
};
use http_body_util::BodyExt as _;

use crate::{
    town::{MAC, Town, linked, towns},
    villain::Den,
};

const SOON: Duration = Duration::from_secs(10);

fn texts(listed: &serde_json::Value, list: &str, fields: [&str; 2]) -> Vec<String> {
    let all = listed[list].as_array().unwrap().iter();
    let word = |v: &serde_json::Value| v.as_str().unwrap_or("-").to_owned();
    all.map(|i| format!("{}/{}", word(&i[fields[0]]), word(&i[fields[1]])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_list_has_the_machines_of_all_sites_and_names_who_does_not_answer() {
    let (a, b) = towns().await;
    a.site
        .register([0x52, 0x54, 0, 0, 0, 9].into_mac(), "own")
        .await;
    let list = |path: &'static str| a.site.api(path);
    let (status, listed) = list("/machines?site=all").await;
    assert_eq!(status, 200, "{listed}");
    assert_eq!(
        texts(&listed, "items", ["site", "name"]),
        ["site-a/own"],
        "unasked nothing is shown"
    );
    b.shows(&a.name, &["pool=lab"], false).await;
    // It holds a certificate, and answers with nonsense.
    let (_den, _link) = Den::joined(&a).await;
    let begun = Instant::now();
    let (_, listed) = list("/machines?site=all").await;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        texts(&listed, "items", ["site", "name"]),
        ["site-a/own", "site-b/web1"]
    );
    assert_eq!(
        texts(&listed, "sites", ["site", "missing"]),
        ["site-a/-", "site-b/-", "site-x/its answer makes no sense"]
    );
    let row = &listed["items"][1];
    assert_eq!(row["macs"], serde_json::json!([MAC]));
    assert!(
        row.get("uuid").is_none() && row.get("hardware").is_none(),
        "{row}"
    );
    let (_, one) = list("/machines?site=site-b").await;
    assert_eq!(texts(&one, "items", ["site", "name"]), ["site-b/web1"]);
    let (_, page) = list("/machines?site=all&limit=1").await;
    assert_eq!(page["next"], "site-a/own");
    let (_, rest) = list("/machines?site=all&limit=1&cursor=site-a%2Fown").await;
    assert_eq!(texts(&rest, "items", ["site", "name"]), ["site-b/web1"]);
    assert_eq!(list("/machines?site=nobody").await.0, 404);
    assert_eq!(list("/machines?site=all&state=seen").await.0, 422);
    // Taken back, it holds from the next question on.
    b.shows(&a.name, &[], false).await;
    let (_, one) = list("/machines?site=site-b").await;
    assert_eq!(texts(&one, "items", ["site", "name"]), [""; 0]);
}

trait IntoMac {
    fn into_mac(self) -> ipxe::MacAddr;
}

impl IntoMac for [u8; 6] {
    fn into_mac(self) -> ipxe::MacAddr {
        ipxe::MacAddr(self)
    }
}

/// The texts of the next events.
async fn hears(watched: &mut Watched, count: usize) -> Vec<String> {
    let heard = async {
        let mut texts = Vec::new();
        while texts.len() < count {
            let heard = watched.next().await.unwrap();
            texts.extend(heard.events.into_iter().map(|e| e.text));
        }
        texts
    };
    tokio::time::timeout(SOON, heard).await.unwrap()
}

async fn happens(b: &Town, what: &str) {
    let id = b.site.view().machine_by_mac(MAC).unwrap().id.clone();
    let draft = Draft::new("member.alive", what).machine(&id);
    b.site.store.note(draft.field("address", "192.0.2.77"));
    b.site
        .store
        .note(Draft::new("member.alive", "of nobody that is shown"));
    b.site.store.flush().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_another_site_are_heard_live_go_on_by_their_number_and_end_with_the_permission() {
    let (a, b) = towns().await;
    b.shows(&a.name, &["pool=lab"], false).await;
    let mut watched = a.federation().watch_events(&b.name, None).await.unwrap();
    let begun = watched.next().await.unwrap();
    assert!(begun.events.is_empty() && !begun.lost);
    happens(&b, "one").await;
    happens(&b, "two").await;
    assert_eq!(hears(&mut watched, 2).await, ["one", "two"]);
    drop(watched);
    // Who comes back behind its number has missed nothing.
    happens(&b, "three").await;
    let mut watched = a
        .federation()
        .watch_events(&b.name, Some(begun.seen))
        .await
        .unwrap();
    assert_eq!(hears(&mut watched, 3).await, ["one", "two", "three"]);
    b.shows(&a.name, &[], false).await;
    happens(&b, "four").await;
    b.shows(&a.name, &["pool=lab"], false).await;
    happens(&b, "five").await;
    assert_eq!(hears(&mut watched, 1).await, ["five"]);
    let revoke = RevokePeer {
        site: a.name.clone(),
        by: "ann".to_owned(),
    };
    b.site.apply(revoke).await.unwrap();
    let ended = tokio::time::timeout(SOON, async { while watched.next().await.is_ok() {} });
    ended.await.expect("revocation ends it at once");
    assert!(a.federation().watch_events(&b.name, None).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_subscriptions_than_a_site_may_have_are_refused_and_ended_ones_make_room() {
    let (a, b) = towns().await;
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(a.federation().watch_events(&b.name, None).await.unwrap());
    }
    let refused = a.federation().watch_events(&b.name, None).await;
    assert!(refused.unwrap_err().contains("too many"));
    all.clear();
    let again = async {
        while a.federation().watch_events(&b.name, None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_live_view_of_another_site_survives_its_link() {
    let (a, b) = towns().await;
    b.shows(&a.name, &["pool=lab"], false).await;
    let response = a.site.stream("/events/stream?site=site-b").await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut text = String::new();
    happens(&b, "before").await;
    read_until(&mut body, &mut text, "before").await;
    let link = b.federation().links_with(&a.name);
    assert!(link > 0);
    b.federation().drop_links(&a.name);
    happens(&b, "meanwhile").await;
    linked(&a, &b.name).await;
    read_until(&mut body, &mut text, "meanwhile").await;
    assert_eq!(text.matches("before").count(), 1, "{text}");
    assert!(text.contains("\"site\":\"site-b\""), "{text}");
    assert!(
        !text.contains("192.0.2.77") && !text.contains("of nobody"),
        "{text}"
    );
    assert_eq!(a.site.api("/events/stream?site=nobody").await.0, 502);
}

async fn read_until(body: &mut axum::body::Body, text: &mut String, word: &str) {
    let read = async {
        while !text.contains(word) {
            let frame = body.frame().await.unwrap().unwrap();
            let bytes = frame.into_data().unwrap_or_default();
            text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    };
    let read = tokio::time::timeout(2 * SOON, read).await;
    assert!(read.is_ok(), "never: {word}");
}
