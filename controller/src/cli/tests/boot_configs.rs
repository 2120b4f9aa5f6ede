//! Boot configs and the files they are made of.

use std::path::Path;

use http_body_util::BodyExt as _;

use super::{Client, Controller, Failure};

#[tokio::test]
async fn a_config_goes_from_local_files_to_an_armed_machine() {
    let c = Controller::start();
    let (kernel, initrd) = (
        c.write("vmlinuz", "kernel"),
        c.write("initrd.img", "initrd"),
    );
    let seed = format!("seed.txt={}", c.write("seed", "I am {{ name }}"));
    let set = [
        "boot-configs",
        "set",
        "live",
        "--kernel",
        &kernel,
        "--initrd",
        &initrd,
        "--cmdline",
        "quiet host={{ name }}",
        "--answer",
        &seed,
    ];
    c.run(&set).await.unwrap();
    c.run(&[
        "machines",
        "register",
        "52:54:00:77:00:01",
        "--name",
        "web1",
    ])
    .await
    .unwrap();
    let preview = c
        .run(&["boot-configs", "preview", "live", "web1"])
        .await
        .unwrap();
    assert!(
        preview.starts_with("#!ipxe") && preview.contains("host=web1"),
        "{preview}"
    );
    let answer = [
        "boot-configs",
        "preview",
        "live",
        "web1",
        "--answer",
        "seed.txt",
    ];
    assert_eq!(c.run(&answer).await.unwrap(), "I am web1");
    c.run(&["boot-configs", "activate", "live", "web1", "--until", "2h"])
        .await
        .unwrap();
    let open = c.run(&["activations", "list", "--open"]).await.unwrap();
    assert!(open.contains("web1") && open.contains("armed"), "{open}");
    let explained = c.run(&["explain", "web1"]).await.unwrap();
    assert!(explained.contains("(web1) boots: config"), "{explained}");
    let list = c.run(&["boot-configs", "list"]).await.unwrap();
    assert!(list.contains("vmlinuz initrd.img seed.txt"), "{list}");
    c.run(&["boot-configs", "deactivate", "web1"])
        .await
        .unwrap();
    c.run(&["boot-configs", "delete", "live"]).await.unwrap();
    let unused = c
        .run(&["files", "list", "--unused", "-o", "json"])
        .await
        .unwrap();
    assert_eq!(unused.matches("\"sha256\"").count(), 2, "{unused}");
}

#[tokio::test]
async fn a_file_that_the_controller_has_is_not_sent_again() {
    let c = Controller::start();
    let kernel = c.write("vmlinuz", "kernel");
    let set = ["boot-configs", "set", "live", "--kernel", &kernel];
    c.run(&set).await.unwrap();
    let stored = c.site.api.assets.list().unwrap();
    let path = c.site.api.assets.path(&stored[0].sha256);
    let modified = |p: &Path| std::fs::metadata(p).unwrap().modified().unwrap();
    let before = modified(&path);
    c.run(&set).await.unwrap();
    assert_eq!(modified(&path), before);
}

#[tokio::test]
async fn an_upload_that_is_refused_early_says_why() {
    let c = Controller::start();
    let client = Client::new(c.folder.path().join("api.sock"));
    let endless = futures_util::stream::repeat_with(|| {
        Ok(hyper::body::Frame::data(bytes::Bytes::from(vec![
            0;
            1 << 20
        ])))
    });
    let body = http_body_util::StreamBody::new(endless).boxed_unsync();
    let path = format!("/files/{}", "0".repeat(64));
    let refused = client.upload(&path, 1 << 50, body).await;
    match refused {
        Err(Failure::Refused(problem)) => assert_eq!(problem.code, "body-too-large"),
        other => panic!("{other:?}"),
    }
}
