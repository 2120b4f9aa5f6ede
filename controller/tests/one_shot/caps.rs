//! No activation is a boot loop: boots that fetched files and boots that only fetched the script have their caps.

use enforcer::state::{
    activation::{Kind, MAX_BOOTS, MAX_SCRIPTS, Stage},
    config::Evidence,
};

use super::site::{Site, nonce_in};

#[tokio::test]
async fn after_three_boots_without_evidence_the_disk_starts_and_a_failure_is_told() {
    let mut site = Site::open().await;
    site.arm(Evidence::Callback, Kind::OneShot).await;
    for boot in 1..=MAX_BOOTS {
        let session = format!("s{boot}");
        assert!(nonce_in(&site.script(&session).await).is_some());
        site.file("linux", &session).await;
        site.file("initrd.gz", &session).await;
        site.reaches(Stage::Running).await;
        site = site.restart().await;
    }
    let script = site.script("s4").await;
    assert_eq!(nonce_in(&script), None, "{script}");
    assert!(script.contains("sanboot"), "the disk: {script}");
    assert_eq!(site.told("activation.failed"), 1);
    let closed = site.activation();
    assert_eq!(closed.stage, Stage::Failed);
    assert_eq!(
        closed.reason.as_deref(),
        Some("3 boots fetched its files and none was confirmed")
    );
    // Too late: it is over.
    assert_eq!(
        site.get(&format!("/boot/n/{}/done", closed.nonce))
            .await
            .status,
        200
    );
    assert_eq!(site.activation(), closed);
}

#[tokio::test]
async fn boots_that_never_go_on_have_a_higher_cap() {
    let site = Site::open().await;
    site.arm(Evidence::Callback, Kind::OneShot).await;
    for boot in 1..=MAX_SCRIPTS {
        let script = site.script(&format!("s{boot}")).await;
        assert!(nonce_in(&script).is_some(), "boot {boot}");
    }
    assert!(
        nonce_in(&site.script("s1").await).is_some(),
        "a retry is free"
    );
    assert_eq!(nonce_in(&site.script("one-more").await), None);
    assert_eq!(site.stage(), Stage::Failed);
    assert_eq!(site.told("activation.failed"), 1);
}

#[tokio::test]
async fn scripts_fetched_in_advance_do_not_lift_the_cap() {
    let site = Site::open().await;
    site.arm(Evidence::Callback, Kind::OneShot).await;
    for boot in 0..=MAX_BOOTS {
        site.script(&format!("s{boot}")).await;
    }
    for boot in 0..MAX_BOOTS {
        assert_eq!(site.file("linux", &format!("s{boot}")).await.status, 200);
    }
    let last = format!("s{MAX_BOOTS}");
    assert_eq!(site.file("linux", &last).await.status, 410);
    assert_eq!(site.stage(), Stage::Failed);
}

#[tokio::test]
async fn boots_by_pixiecore_are_capped_too() {
    let site = Site::open().await;
    let nonce = site.arm(Evidence::Callback, Kind::OneShot).await.nonce;
    for _ in 0..MAX_BOOTS {
        for name in ["linux", "initrd.gz"] {
            let path = format!("/boot/n/{nonce}/{name}");
            assert_eq!(site.get(&path).await.status, 200, "{:?}", site.activation());
        }
        site.reaches(Stage::Running).await;
    }
    assert_eq!(
        site.get(&format!("/boot/n/{nonce}/linux")).await.status,
        410
    );
    assert_eq!(site.stage(), Stage::Failed);
}

#[tokio::test]
async fn a_standing_config_is_never_capped_nor_spent() {
    let site = Site::open().await;
    let armed = site.arm(Evidence::Fetched, Kind::Standing).await;
    for boot in 0..MAX_SCRIPTS + MAX_BOOTS + 5 {
        let session = format!("s{boot}");
        let script = site.script(&session).await;
        assert_eq!(nonce_in(&script), Some(armed.nonce.clone()), "boot {boot}");
        assert_eq!(site.file("initrd.gz", &session).await.status, 200);
    }
    site.file("linux", "s27").await;
    site.reaches(Stage::Running).await;
    site.get(&format!("/boot/n/{}/failed", armed.nonce)).await;
    assert_eq!(site.stage(), Stage::Running);
    assert!(nonce_in(&site.script("next").await).is_some());
    assert!(site.activation().sessions.len() <= MAX_BOOTS + MAX_SCRIPTS);
}
