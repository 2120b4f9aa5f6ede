//! Claims about images over the API: what goes in comes out, whole or not at all, and only with room for it.

mod refused;
mod uploads;

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use axum::{
    body::{Body, Bytes},
    http::{Request, StatusCode, header},
    response::Response,
};
use futures_util::stream;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Site, read};
use crate::{
    http::{
        auth::{Caller, Role},
        router,
    },
    images::Limits,
};

const MIB: usize = 1 << 20;

/// A disk of five chunks and a bit: data, a hole, the same data again, bytes that do not compress, data.
pub(super) fn disk() -> Vec<u8> {
    let mut disk = vec![0; 5 * MIB + 4096];
    let text = b"all work and no play makes jack a dull boy ";
    let mut noise = 0x9e37_79b9_u32;
    for (at, byte) in disk.iter_mut().enumerate() {
        *byte = match at / MIB {
            1 => 0,
            3 => {
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                noise.to_le_bytes()[0]
            }
            _ => text[at % MIB % text.len()],
        };
    }
    disk
}

async fn send(site: &Site, method: &str, path: &str, body: impl Into<Body>) -> Response {
    site.ask(Some(Role::Operator), method, path, body.into())
        .await
}

async fn push(site: &Site, name: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    let path = format!("/api/v1/images/{name}/versions");
    read(send(site, "PUT", &path, body).await).await
}

async fn get(site: &Site, path: &str, headers: &[(header::HeaderName, &str)]) -> (Response, Bytes) {
    let mut request = Request::builder().uri(format!("/api/v1/images/{path}"));
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let name = "test".to_owned();
    request.extensions_mut().insert(Caller {
        name,
        role: Role::Operator,
    });
    let response = router(site.api.clone()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, Body::empty()), bytes)
}

fn code(answer: &(StatusCode, Value)) -> (u16, &str) {
    let code = answer.1["code"].as_str().unwrap_or("(none)");
    (answer.0.as_u16(), code)
}

/// What a program makes of `input`.
fn through(program: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    output.stdout
}

async fn chunks(site: &Site) -> u64 {
    site.api.images().unwrap().usage().await.unwrap().chunks
}

#[tokio::test]
async fn what_is_uploaded_in_any_format_is_downloaded_the_same_and_stored_once() {
    let (site, disk) = (Site::new(), disk());
    let packed = zstd::bulk::compress(&disk, 3).unwrap();
    for (n, upload) in [
        disk.clone(),
        through(&["gzip", "-1c"], &disk),
        [&packed[..], &zstd::bulk::compress(&[], 1).unwrap()].concat(),
        through(&["xz", "-1c"], &disk),
    ]
    .into_iter()
    .enumerate()
    {
        let saved = push(&site, "debian", upload).await;
        assert_eq!(saved.0, StatusCode::OK, "{saved:?}");
        let id = format!("debian@{}", n + 1);
        assert_eq!(
            (&saved.1["id"], &saved.1["size"]),
            (&json!(id), &json!(disk.len()))
        );
        let raw = get(&site, &format!("debian/versions/{}/raw", n + 1), &[])
            .await
            .1;
        assert!(raw == disk, "{n}: {} bytes", raw.len());
    }
    // Text, the same text again, noise, and the last few bytes.
    assert_eq!(chunks(&site).await, 3);
    let zstd = get(&site, "debian/versions/latest/zstd", &[]).await.1;
    assert!(zstd::stream::decode_all(&zstd[..]).unwrap() == disk);
    let image = site
        .json("GET", "/api/v1/images/debian", Value::Null)
        .await
        .1;
    assert_eq!(
        (&image["latest"], &image["visibility"]),
        (&json!(4), &json!("public"))
    );
    assert_eq!(image["versions"][1]["new_bytes"], 0);
}

#[tokio::test]
async fn parts_of_either_form_are_the_bytes_of_the_whole() {
    let (site, disk) = (Site::new(), disk());
    push(&site, "debian", disk.clone()).await;
    for kind in ["raw", "zstd"] {
        let path = format!("debian/versions/1/{kind}");
        let (whole, all) = get(&site, &path, &[]).await;
        let tag = whole.headers()["etag"].to_str().unwrap().to_owned();
        let total = all.len();
        let (last, half) = (total - 1, total / 2);
        for (range, expected) in [
            (format!("bytes=0-{}", half - 1), 0..half),
            (format!("bytes={half}-"), half..total),
            ("bytes=-7".to_owned(), total - 7..total),
            (format!("bytes={last}-{last}"), last..total),
            (format!("bytes={}-{}", half - 3, total + 5), half - 3..total),
        ] {
            let (part, bytes) = get(&site, &path, &[(header::RANGE, &range)]).await;
            assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT, "{range}");
            assert!(bytes == all[expected.clone()], "{kind} {range}");
            let told = format!("bytes {}-{}/{total}", expected.start, expected.end - 1);
            assert_eq!(part.headers()["content-range"], told.as_str());
            assert_eq!(
                part.headers()["content-length"],
                bytes.len().to_string().as_str()
            );
        }
        let past = format!("bytes={total}-");
        let (refused, problem) = get(&site, &path, &[(header::RANGE, &past)]).await;
        assert_eq!(refused.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert!(String::from_utf8_lossy(&problem).contains("range-not-satisfiable"));
        let of = |tag: &str| {
            [
                (header::RANGE, "bytes=1-1".to_owned()),
                (header::IF_RANGE, tag.to_owned()),
            ]
        };
        for (known, status) in [
            (tag.as_str(), StatusCode::PARTIAL_CONTENT),
            ("\"other\"", StatusCode::OK),
        ] {
            let headers = of(known);
            let headers: Vec<_> = headers
                .iter()
                .map(|(n, v)| (n.clone(), v.as_str()))
                .collect();
            assert_eq!(
                get(&site, &path, &headers).await.0.status(),
                status,
                "{known}"
            );
        }
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_no_version_and_what_it_brought_goes() {
    let (site, disk) = (Site::new(), disk());
    let pieces = [
        Ok(Bytes::from(disk[..3 * MIB].to_vec())),
        Err(std::io::Error::other("the laptop was closed")),
    ];
    let broken = push(&site, "debian", Body::from_stream(stream::iter(pieces))).await;
    assert_eq!(code(&broken), (400, "upload-broken"));
    let listed = site.json("GET", "/api/v1/images", Value::Null).await.1;
    assert_eq!(listed["items"], json!([]));
    // The thread that cuts hears of it a moment later.
    let images = site.api.images().unwrap();
    while chunks(&site).await > 0 {
        images.collect().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(push(&site, "debian", disk).await.0, StatusCode::OK);
    images.collect().await;
    assert_eq!(chunks(&site).await, 3);
}

#[tokio::test]
async fn uploads_at_once_each_become_a_version_and_share_their_bytes() {
    let (site, disk) = (Site::new(), disk());
    let names = ["a", "b", "c", "d"];
    let uploads = names.map(|name| push(&site, name, disk.clone()));
    for saved in futures_util::future::join_all(uploads).await {
        assert_eq!(saved.0, StatusCode::OK, "{saved:?}");
    }
    assert_eq!(chunks(&site).await, 3);
    for name in names {
        let raw = get(&site, &format!("{name}/versions/1/raw"), &[]).await.1;
        assert!(raw == disk, "{name}");
    }
}

#[tokio::test]
async fn a_full_disk_and_a_used_up_quota_are_told_apart_and_leave_nothing() {
    let full = Limits {
        reserve_bytes: u64::MAX / 2,
        ..Limits::default()
    };
    let little = Limits {
        quota_bytes: Some(4096),
        ..Limits::default()
    };
    for (limits, expected) in [
        (full, (507, "storage-full")),
        (little, (413, "image-quota")),
    ] {
        let site = Site::limited(limits);
        assert_eq!(code(&push(&site, "debian", disk()).await), expected);
        let listed = site.json("GET", "/api/v1/images", Value::Null).await.1;
        assert_eq!(listed["items"], json!([]));
        // What needs no room still has its place.
        let empty = push(&site, "empty", vec![0; MIB]).await;
        assert_eq!(empty.0, StatusCode::OK, "{empty:?}");
    }
}

#[tokio::test]
async fn a_version_that_is_needed_stays_and_its_bytes_go_with_the_last_that_has_them() {
    let (site, disk) = (Site::new(), disk());
    push(&site, "debian", disk.clone()).await;
    push(&site, "debian", disk).await;
    let mac = json!({"mac": "52-54-00-77-00-01", "name": "web1"});
    site.json("POST", "/api/v1/machines", mac).await;
    let deploy = json!({"machine": "web1", "image": "debian@1"});
    let made = site.json("POST", "/api/v1/deployments", deploy).await;
    assert_eq!(made.0, StatusCode::CREATED, "{made:?}");
    let version = "/api/v1/images/debian/versions/1";
    let refused = site.json("DELETE", version, Value::Null).await;
    assert_eq!(code(&refused), (409, "image-in-use"));
    assert!(
        refused.1["detail"]
            .as_str()
            .unwrap()
            .contains("deployment 1 of web1")
    );
    let image = site
        .json("DELETE", "/api/v1/images/debian", Value::Null)
        .await;
    assert_eq!(code(&image), (409, "image-in-use"));
    site.json("POST", "/api/v1/deployments/1/cancel", Value::Null)
        .await;
    let images = site.api.images().unwrap();
    for (path, left) in [(version, 3), ("/api/v1/images/debian", 0)] {
        let deleted = site.json("DELETE", path, Value::Null).await;
        assert_eq!(deleted.0, StatusCode::NO_CONTENT, "{deleted:?}");
        images.collect().await;
        assert_eq!(chunks(&site).await, left, "{path}");
    }
}
