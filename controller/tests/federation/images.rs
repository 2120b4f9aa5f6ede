//! An image of another site is brought here: only what is missing, checked, and not without permission.

use std::time::Duration;

use enforcer::{
    images::Limits,
    state::{
        image::{Origin, Version},
        ops::SaveVersion,
    },
};
use futures_util::stream;
use image_store::IngestOptions;
use serde_json::{Value, json};

use crate::town::{Town, towns};

const MIB: usize = 1 << 20;

/// A disk of `mib` chunks, each of its own content; `changed` ones are other.
fn disk(mib: usize, changed: &[usize]) -> Vec<u8> {
    let chunk = |n: usize| {
        let seed = if changed.contains(&n) { n + 1000 } else { n };
        let mut x = seed as u64 + 1;
        let noise = move || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x & 0xff) as u8
        };
        std::iter::repeat_with(noise).take(MIB)
    };
    (0..mib).flat_map(chunk).collect()
}

impl Town {
    async fn uploads(&self, bytes: Vec<u8>) -> u32 {
        let piece = Ok::<_, std::io::Error>(bytes::Bytes::from(bytes));
        let stream = stream::iter([piece]);
        let taken = self
            .images
            .upload(stream, IngestOptions::default())
            .await
            .unwrap();
        let save = SaveVersion {
            name: "debian".parse().unwrap(),
            content: taken.content.clone(),
            by: "ann".to_owned(),
            upload: None,
            owner: None,
            visibility: None,
            note: Some("words".to_owned()),
        };
        self.site.apply(save).await.unwrap().number
    }

    async fn pulls(&self, body: Value) -> Value {
        let (status, pull) = self.site.post("/image-pulls", &body).await;
        assert_eq!(status, 202, "{pull}");
        let path = format!("/image-pulls/{}", pull["id"]);
        let ended = async {
            loop {
                let (_, pull) = self.site.api(&path).await;
                if pull["state"] == "done" || pull["state"] == "failed" {
                    return pull;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ended)
            .await
            .unwrap()
    }

    fn version(&self, number: u32) -> Version {
        let view = self.site.view();
        let image = view.image(&"debian".parse().unwrap()).unwrap();
        image.version(Some(number)).unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_comes_whole_and_of_its_next_version_only_what_changed() {
    let (a, b) = towns().await;
    b.uploads(disk(8, &[])).await;
    let wanted = json!({ "site": "site-b", "image": "debian" });
    let refused = a.pulls(wanted.clone()).await;
    assert_eq!(refused["problem"]["code"], "peer-refused", "{refused}");
    assert!(
        refused["problem"]["detail"]
            .as_str()
            .unwrap()
            .contains("may have no images")
    );
    b.shows(&a.name, &[], true).await;
    let pulled = a.pulls(wanted.clone()).await;
    assert_eq!(pulled["saved"], "debian@1", "{pulled}");
    let (ours, theirs) = (a.version(1), b.version(1));
    assert_eq!(ours.content.manifest, theirs.content.manifest);
    assert_eq!(ours.note.as_deref(), Some("words"));
    assert!(matches!(&ours.origin, Origin::Pulled { site, .. } if *site == b.name));
    let all = pulled["new_bytes"].as_u64().unwrap();
    assert!(all > 7 * MIB as u64, "{pulled}");
    a.images.collect().await;
    // Everything is here: it goes out again, checked chunk by chunk.
    let plain = a.images.plain(ours.content.manifest, None).await.unwrap();
    use futures_util::TryStreamExt as _;
    let parts: Vec<bytes::Bytes> = Box::pin(plain.parts).try_collect().await.unwrap();
    assert!(parts.concat() == disk(8, &[]));
    // Once more is the same version; of the next one, one chunk in eight comes.
    assert_eq!(a.pulls(wanted.clone()).await["saved"], "debian@1");
    b.uploads(disk(8, &[3])).await;
    let next = a
        .pulls(json!({ "site": "site-b", "image": "debian@2", "name": "debian" }))
        .await;
    assert_eq!(next["saved"], "debian@2", "{next}");
    let came = next["new_bytes"].as_u64().unwrap();
    assert!((1..all / 4).contains(&came), "{came} of {all}");
    let (_, listed) = a.site.api("/image-pulls").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 4);
    assert_eq!(a.site.api("/image-pulls/99").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_breaks_is_waited_for_and_what_came_is_not_sent_again() {
    let (a, b) = towns().await;
    b.shows(&a.name, &[], true).await;
    b.uploads(disk(48, &[])).await;
    let (_, pull) = a
        .site
        .post(
            "/image-pulls",
            &json!({ "site": "site-b", "image": "debian" }),
        )
        .await;
    let path = format!("/image-pulls/{}", pull["id"]);
    a.until("some chunks are here", |_| {
        std::fs::read_dir(a.site.state.path().join("chunks/fresh")).is_ok_and(|f| f.count() > 4)
    })
    .await;
    b.federation().drop_links(&a.name);
    let ended = a
        .pulls(json!({ "site": "site-b", "image": "debian" }))
        .await;
    assert_eq!(ended["id"], pull["id"], "it was the same one: {path}");
    assert_eq!(ended["saved"], "debian@1", "{ended}");
    assert_eq!(a.version(1).content.manifest, b.version(1).content.manifest);
}

/// Chunks that are here, of whatever image.
fn held(a: &Town) -> usize {
    let count = |folder: std::path::PathBuf| std::fs::read_dir(folder).map_or(0, Iterator::count);
    let root = a.site.state.path().join("chunks");
    let settled = (0..=255).map(|n| count(root.join(format!("{n:02x}"))));
    count(root.join("fresh")) + settled.sum::<usize>()
}

/// Waits until some chunks of a pull are here.
async fn some_are_here(a: &Town) {
    a.until("some chunks are here", |_| held(a) > 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_cancelled_leaves_no_image_and_goes_on_where_it_was_when_asked_for_again() {
    let (a, b) = towns().await;
    b.shows(&a.name, &[], true).await;
    b.uploads(disk(48, &[])).await;
    let wanted = json!({ "site": "site-b", "image": "debian" });
    let (_, pull) = a.site.post("/image-pulls", &wanted).await;
    some_are_here(&a).await;
    let path = format!("/image-pulls/{}", pull["id"]);
    let (status, _) = a.site.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(status, 204);
    let ended = async {
        loop {
            let (_, pull) = a.site.api(&path).await;
            if pull["state"] != "running" {
                return pull;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), ended)
        .await
        .unwrap();
    assert_eq!(ended["state"], "failed", "{ended}");
    assert!(
        ended["problem"]["detail"]
            .as_str()
            .unwrap()
            .contains("cancelled"),
        "{ended}"
    );
    assert!(a.site.view().images().next().is_none());
    assert_eq!(
        a.site.post("/image-pulls/99/cancel", &json!({})).await.0,
        404
    );
    // What has come is not thrown away.
    a.images.collect().await;
    assert!(held(&a) > 4, "{} chunks are left", held(&a));
    let again = a.pulls(wanted).await;
    assert_eq!(again["saved"], "debian@1", "{again}");
    assert_ne!(again["id"], pull["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_thrown_away_during_a_pull_is_nothing_of_it() {
    let (a, b) = towns().await;
    b.shows(&a.name, &[], true).await;
    b.uploads(disk(32, &[])).await;
    let wanted = json!({ "site": "site-b", "image": "debian" });
    let throws = async {
        loop {
            a.images.collect().await;
            b.images.collect().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let pulled = tokio::select! {
        pulled = a.pulls(wanted) => pulled,
        () = throws => unreachable!("it goes on"),
    };
    assert_eq!(pulled["saved"], "debian@1", "{pulled}");
    a.images.collect().await;
    let plain = a
        .images
        .plain(a.version(1).content.manifest, None)
        .await
        .unwrap();
    use futures_util::TryStreamExt as _;
    let parts: Vec<bytes::Bytes> = Box::pin(plain.parts).try_collect().await.unwrap();
    assert!(parts.concat() == disk(32, &[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_may_hold_no_more_refuses_it_as_it_refuses_an_upload() {
    let limits = Limits {
        quota_bytes: Some(2 * MIB as u64),
        ..Limits::default()
    };
    let (a, b) = (
        Town::start_with("site-a", limits).await,
        Town::start("site-b").await,
    );
    crate::town::acquaint(&a, &b).await;
    b.shows(&a.name, &[], true).await;
    b.uploads(disk(8, &[])).await;
    let refused = a
        .pulls(json!({ "site": "site-b", "image": "debian" }))
        .await;
    assert_eq!(refused["problem"]["code"], "image-quota", "{refused}");
    assert!(
        a.site.view().images().next().is_none(),
        "whole or not at all"
    );
}
