//! Claims about uploads that are no images, or more than they say.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{MIB, Site, chunks, code, disk, push, read, send, through};

#[tokio::test]
async fn what_is_no_image_is_refused_with_its_reason() {
    let (site, disk) = (Site::new(), disk());
    let zstd = zstd::bulk::compress(&disk, 1).unwrap();
    let gzip = through(&["gzip", "-1c"], &disk);
    for (what, query, upload, status, expected) in [
        ("nothing", "", Vec::new(), 422, "image-invalid"),
        (
            "half a sector",
            "",
            disk[..700].to_vec(),
            422,
            "image-invalid",
        ),
        (
            "cut short",
            "",
            zstd[..zstd.len() / 2].to_vec(),
            422,
            "image-invalid",
        ),
        (
            "another format",
            "?format=xz",
            gzip.clone(),
            422,
            "image-invalid",
        ),
        (
            "rubbish behind",
            "",
            [&gzip[..], b"rubbish"].concat(),
            422,
            "image-invalid",
        ),
        (
            "an archive",
            "",
            b"PK\x03\x04 and more".to_vec(),
            422,
            "image-invalid",
        ),
        (
            "another size",
            "?size=512",
            disk.clone(),
            422,
            "image-invalid",
        ),
        (
            "an odd format",
            "?format=rar",
            disk.clone(),
            400,
            "bad-request",
        ),
    ] {
        let path = format!("/api/v1/images/bad/versions{query}");
        let refused = read(send(&site, "PUT", &path, upload).await).await;
        assert_eq!(code(&refused), (status, expected), "{what}: {refused:?}");
    }
    let missing = site.json("GET", "/api/v1/images/bad", Value::Null).await;
    assert_eq!(code(&missing), (404, "image-not-found"));
}

#[tokio::test]
async fn bombs_are_refused_with_their_reason_and_leave_nothing() {
    let site = Site::new();
    // Noise before the zeros, so that something is stored until the end is known.
    let mut large = disk();
    large.resize(64 * MIB, 0);
    let frame = zstd::bulk::compress(&large, 1).unwrap();
    // A frame that wants 128 MiB of window: descriptor 0, window 2^27, one empty last block.
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, 1, 0, 0];
    let lied = format!("?size={}", 8 * MIB);
    for (what, query, bomb, reason) in [
        ("zstd", lied.as_str(), frame.clone(), "said to have 8388608"),
        (
            "gzip",
            &lied,
            through(&["gzip", "-9c"], &large),
            "said to have 8388608",
        ),
        (
            "xz",
            &lied,
            through(&["xz", "-0c"], &large),
            "said to have 8388608",
        ),
        ("a window", "", window.to_vec(), "window of more than"),
    ] {
        let path = format!("/api/v1/images/bomb/versions{query}");
        let refused = read(send(&site, "PUT", &path, bomb).await).await;
        assert_eq!(
            code(&refused),
            (422, "image-invalid"),
            "{what}: {refused:?}"
        );
        let said = refused.1["detail"].as_str().unwrap();
        assert!(said.contains(reason), "{what}: {said}");
    }
    let listed = site.json("GET", "/api/v1/images", Value::Null).await.1;
    assert_eq!(listed["items"], json!([]));
    let images = site.api.images().unwrap();
    images.collect().await;
    assert_eq!(chunks(&site).await, 0);
    // The connection and the places for uploads are free for who means well.
    assert_eq!(push(&site, "debian", frame).await.0, StatusCode::OK);
}
