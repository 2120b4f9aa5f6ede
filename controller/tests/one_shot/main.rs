//! One-shot activations against the real boot HTTP server and store: the same nonce until evidence, then closed once.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod caps;
mod site;

use enforcer::state::{
    activation::{Kind, Stage},
    config::Evidence,
    ops::{Deactivate, ExpireOverdue, MachineRef},
};
use site::{INITRD, KERNEL, MAC, Site, content, nonce_in};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

#[tokio::test]
async fn fetched_closes_once_whatever_is_restarted_between() {
    let mut site = Site::open().await;
    let armed = site.arm(Evidence::Fetched, Kind::OneShot).await;
    site = site.restart().await;
    for session in ["s1", "s1", "s2"] {
        let script = site.script(session).await;
        assert_eq!(nonce_in(&script), Some(armed.nonce.clone()), "{script}");
        assert_eq!(site.stage(), Stage::Served);
        site = site.restart().await;
    }
    assert_eq!(
        site.activation().sessions.len(),
        2,
        "a retry is no new boot"
    );
    let kernel = site.file("linux", "s2").await;
    assert_eq!((kernel.status, kernel.body), (200, content(KERNEL)));
    site = site.restart().await;
    assert_eq!(
        nonce_in(&site.script("s2").await),
        Some(armed.nonce.clone())
    );
    assert_eq!(site.stage(), Stage::Served, "the initrd is still missing");
    assert_eq!(site.file("initrd.gz", "s2").await.body, content(INITRD));
    site.reaches(Stage::Confirmed).await;
    site = site.restart().await;
    assert_eq!(site.told("activation.confirmed"), 1);
    for session in ["s2", "s3"] {
        let script = site.script(session).await;
        assert_eq!(nonce_in(&script), None, "{script}");
    }
    assert_eq!(site.file("linux", "s3").await.status, 410);
    assert_eq!(site.file("initrd.gz", "s3").await.status, 410);
    assert_eq!(site.activation().closed, Some(site.store.now()));
}

#[tokio::test]
async fn the_machines_own_word_that_it_has_all_files_is_evidence() {
    let site = Site::open().await;
    let nonce = site.arm(Evidence::Fetched, Kind::OneShot).await.nonce;
    let script = site.script("s1").await;
    let loaded = format!("/boot/n/{nonce}/loaded?s=");
    assert!(
        script.contains(&format!("{loaded}${{session}}")),
        "{script}"
    );
    assert_eq!(site.get(&format!("{loaded}s1")).await.status, 200);
    assert_eq!(site.get(&format!("{loaded}s2")).await.status, 200);
    assert_eq!(site.stage(), Stage::Served, "no boot that asked for files");
    assert_eq!(site.file("linux", "s1").await.body, content(KERNEL));
    // The end of the initrd is never acknowledged, but the script has come to its last line.
    assert_eq!(site.get(&format!("{loaded}s1")).await.status, 200);
    assert_eq!(site.stage(), Stage::Confirmed);
    assert_eq!(site.told("activation.confirmed"), 1);
}

#[tokio::test]
async fn head_tells_the_size_and_claims_nothing() {
    let site = Site::open().await;
    let armed = site.arm(Evidence::Fetched, Kind::OneShot).await;
    let nonce = &armed.nonce;
    for (path, status) in [
        (format!("/boot/n/{nonce}/linux"), 200),
        (format!("/boot/n/{nonce}/initrd.gz"), 200),
        (format!("/boot/{MAC}?session=s1"), 200),
        (format!("/boot/n/{nonce}/done"), 405),
    ] {
        let answer = site.ask("HEAD", &path, "").await;
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{path}");
    }
    let site = site.restart().await;
    assert_eq!(site.activation(), armed);
}

#[tokio::test]
async fn pieces_of_one_boot_make_a_file_and_those_of_two_do_not() {
    let site = Site::open().await;
    site.arm(Evidence::Fetched, Kind::OneShot).await;
    let nonce = site.activation().nonce;
    let piece = async |name: &str, session: &str, range: &str| {
        let path = format!("/boot/n/{nonce}/{name}?s={session}");
        let answer = site
            .ask("GET", &path, &format!("Range: bytes={range}\r\n"))
            .await;
        assert_eq!(answer.status, 206, "{name} {range}");
        answer.body
    };
    assert_eq!(piece("linux", "a", "0-3").await, content(4));
    piece("linux", "a", "4-599999").await;
    piece("linux", "b", "600000-").await;
    site.file("initrd.gz", "a").await;
    site.file("initrd.gz", "b").await;
    assert_eq!(site.stage(), Stage::Served);
    // Overlapping what is there already is what a resuming client does.
    assert_eq!(piece("linux", "a", "500000-").await.len(), 500_000);
    site.reaches(Stage::Confirmed).await;
    assert_eq!(site.told("activation.confirmed"), 1);
}

#[tokio::test]
async fn a_file_that_waits_in_our_send_buffer_is_no_evidence() {
    let mut site = Site::open().await;
    site.arm(Evidence::Fetched, Kind::OneShot).await;
    site.script("s1").await;
    site.file("linux", "s1").await;
    // Takes half, then loses power: the reset is the switch's port going down.
    let mut half = site.stalled("initrd.gz", "s1").await;
    half.read_exact(&mut vec![0; INITRD / 2]).await.unwrap();
    half.set_zero_linger().unwrap();
    drop(half);
    // Takes nothing of what the server has long handed to its kernel.
    let none = site.stalled("initrd.gz", "s1").await;
    none.set_zero_linger().unwrap();
    drop(none);
    site = site.restart().await;
    assert_eq!(site.stage(), Stage::Served, "{:?}", site.activation());
    // The same slow client that takes all of it is evidence, also after it has taken its time.
    site.file("linux", "s2").await;
    let mut slow = site.stalled("initrd.gz", "s2").await;
    slow.read_to_end(&mut Vec::new()).await.unwrap();
    site.reaches(Stage::Confirmed).await;
}

#[tokio::test]
async fn files_of_two_interleaved_boots_are_counted_apart() {
    let site = Site::open().await;
    let armed = site.arm(Evidence::Fetched, Kind::OneShot).await;
    for session in ["nic1", "nic2"] {
        assert_eq!(
            nonce_in(&site.script(session).await),
            Some(armed.nonce.clone())
        );
    }
    site.file("linux", "nic1").await;
    site.file("initrd.gz", "nic2").await;
    let site = site.restart().await;
    assert_eq!(site.stage(), Stage::Served, "no boot has both files");
    assert_eq!(site.activation().served(), (2, 0));
    site.file("linux", "nic2").await;
    site.reaches(Stage::Confirmed).await;
}

#[tokio::test]
async fn a_callback_closes_and_only_the_first_one_counts() {
    for (method, end, stage, reason) in [
        (
            "GET",
            "done",
            Stage::Confirmed,
            "the booted system reported success",
        ),
        (
            "POST",
            "done",
            Stage::Confirmed,
            "the booted system reported success",
        ),
        (
            "GET",
            "failed?reason=no%20disk",
            Stage::Failed,
            "the booted system reported: no disk",
        ),
        (
            "POST",
            "failed",
            Stage::Failed,
            "the booted system reported: no reason given",
        ),
    ] {
        let mut site = Site::open().await;
        let armed = site.arm(Evidence::Callback, Kind::OneShot).await;
        site.script("s1").await;
        site.file("linux", "s1").await;
        site.file("initrd.gz", "s1").await;
        site.reaches(Stage::Running).await;
        site = site.restart().await;
        // Power was cut before the callback: the machine gets the same again.
        assert_eq!(
            nonce_in(&site.script("s2").await),
            Some(armed.nonce.clone())
        );
        let call = format!("/boot/n/{}/{end}", armed.nonce);
        assert_eq!(site.ask(method, &call, "").await.status, 200);
        let closed = site.activation();
        assert_eq!(
            (closed.stage, closed.reason.as_deref()),
            (stage, Some(reason))
        );
        site = site.restart().await;
        for late in ["done", "failed?reason=late"] {
            let call = format!("/boot/n/{}/{late}", armed.nonce);
            assert_eq!(site.get(&call).await.status, 200);
        }
        assert_eq!(site.activation(), closed, "{method} {end}");
        assert_eq!(
            site.told("activation.confirmed") + site.told("activation.failed"),
            1
        );
        assert_eq!(nonce_in(&site.script("s2").await), None, "spent");
    }
}

#[tokio::test]
async fn a_callback_with_a_nonce_of_nobody_is_not_found() {
    let site = Site::open().await;
    site.arm(Evidence::Callback, Kind::OneShot).await;
    for nonce in ["0123456789abcdef0123456789abcdef", "x"] {
        assert_eq!(site.get(&format!("/boot/n/{nonce}/done")).await.status, 404);
    }
    assert_eq!(site.stage(), Stage::Armed);
}

#[tokio::test]
async fn the_answer_file_knows_its_machine_and_where_to_call() {
    let site = Site::open().await;
    let nonce = site.arm(Evidence::Callback, Kind::OneShot).await.nonce;
    let base = format!("http://{}/boot/n/{nonce}", site.at);
    assert!(
        site.script("s1")
            .await
            .contains(&format!("auto url={base}/preseed.cfg")),
        "the command line names it"
    );
    let preseed = site.get(&format!("/boot/n/{nonce}/preseed.cfg")).await;
    assert_eq!(
        preseed.text(),
        format!("# web1\nok {base}/done\nbad {base}/failed\n")
    );
    assert_eq!(
        site.activation().served(),
        (0, 1),
        "an answer is no boot file"
    );
    assert_eq!(
        site.get(&format!("/boot/n/{nonce}/other.cfg")).await.status,
        404
    );
}

#[tokio::test]
async fn a_person_or_the_time_limit_ends_it() {
    let site = Site::open().await;
    site.arm(Evidence::Callback, Kind::OneShot).await;
    assert!(nonce_in(&site.script("s1").await).is_some());
    let deactivate = Deactivate(MachineRef("web1".into()));
    site.apply(deactivate).await.unwrap();
    assert_eq!(nonce_in(&site.script("s1").await), None);
    assert_eq!(site.file("linux", "s1").await.status, 410);
    let limit = site.store.now() + Duration::from_secs(60);
    site.arm_until(Evidence::Callback, Kind::OneShot, Some(limit))
        .await;
    assert!(nonce_in(&site.script("s2").await).is_some());
    site.clock.advance(Duration::from_secs(61));
    assert_eq!(nonce_in(&site.script("s2").await), None);
    assert_eq!(site.file("linux", "s2").await.status, 410);
    site.apply(ExpireOverdue).await;
    assert_eq!(site.stage(), Stage::Expired);
    assert_eq!(site.told("activation.expired"), 2);
}

#[tokio::test]
async fn pixiecore_peeks_and_its_first_file_claims() {
    let mut site = Site::open().await;
    let ask = format!("/v1/boot/{MAC}");
    assert_eq!(site.get(&ask).await.status, 404, "nothing is due");
    let armed = site.arm(Evidence::Fetched, Kind::OneShot).await;
    let answer: serde_json::Value = serde_json::from_slice(&site.get(&ask).await.body).unwrap();
    let base = format!("http://{}/boot/n/{}", site.at, armed.nonce);
    assert_eq!(
        answer,
        serde_json::json!({
            "kernel": format!("{base}/linux"),
            "initrd": [format!("{base}/initrd.gz")],
            "cmdline": format!("auto url={base}/preseed.cfg"),
        })
    );
    assert_eq!(site.activation(), armed, "asking claims nothing");
    site.get(&format!("/boot/n/{}/linux", armed.nonce)).await;
    assert_eq!(site.activation().served(), (1, 0));
    site = site.restart().await;
    site.get(&format!("/boot/n/{}/initrd.gz", armed.nonce))
        .await;
    site.reaches(Stage::Confirmed).await;
    assert_eq!(site.get(&ask).await.status, 404);
}
