//! Claims about uploads by chunks: only what lacks is sent, and what lies is refused.

use ::image::{
    Builder, ChunkId, ChunkSize,
    parcel::{Form, Head},
};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{MIB, Site, code, disk, get, read, send};

const UPLOADS: &str = "/api/v1/images/debian/uploads/0123456789abcdef";

/// A disk as an uploading program cuts it.
fn cut(disk: &[u8]) -> (Vec<u8>, Vec<(ChunkId, Vec<u8>)>) {
    let size = ChunkSize::default();
    let mut builder = Builder::new(512, size).unwrap();
    let mut chunks = Vec::new();
    for piece in disk.chunks(size.get() as usize) {
        let data = piece.iter().any(|b| *b != 0);
        let id = data.then(|| ChunkId::of(piece));
        builder.push(id);
        chunks.extend(id.map(|id| (id, piece.to_vec())));
    }
    let manifest = builder.finish(disk.len() as u64).unwrap();
    (manifest.encode(), chunks)
}

fn parcel(id: ChunkId, content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).unwrap();
    let head = Head {
        id,
        form: Form::Raw,
        len,
    };
    [&head.encode()[..], content].concat()
}

#[tokio::test]
async fn an_upload_by_chunks_sends_what_lacks_and_becomes_one_version() {
    let (site, disk) = (Site::new(), disk());
    let (manifest, chunks) = cut(&disk);
    let early = read(
        send(
            &site,
            "PUT",
            &format!("{UPLOADS}/manifest"),
            manifest.clone(),
        )
        .await,
    )
    .await;
    assert_eq!(code(&early), (409, "chunks-missing"));
    let ids: Vec<_> = chunks.iter().map(|(id, _)| id.to_string()).collect();
    let have = format!("{UPLOADS}/have");
    let missing = site.json("POST", &have, json!({"ids": ids})).await.1;
    assert_eq!(missing["missing"], json!([0, 1, 2, 3, 4]));
    let body: Vec<u8> = chunks
        .iter()
        .flat_map(|(id, plain)| parcel(*id, plain))
        .collect();
    // It breaks in the third: what came before stays.
    let half = body[..2 * MIB + 1000].to_vec();
    let put = format!("{UPLOADS}/chunks");
    let broken = read(send(&site, "PUT", &put, half).await).await;
    assert_eq!(code(&broken), (400, "upload-broken"));
    let missing = site.json("POST", &have, json!({"ids": ids})).await.1;
    // The first two are the same text.
    assert_eq!(missing["missing"], json!([2, 4]));
    site.api.images().unwrap().collect().await;
    let rest: Vec<u8> = [2, 4]
        .into_iter()
        .flat_map(|n: usize| parcel(chunks[n].0, &chunks[n].1))
        .collect();
    let taken = read(send(&site, "PUT", &put, rest).await).await;
    assert_eq!(taken.1["chunks"], 2, "{taken:?}");
    for _ in 0..2 {
        let saved = read(
            send(
                &site,
                "PUT",
                &format!("{UPLOADS}/manifest?visibility=private&note=x"),
                manifest.clone(),
            )
            .await,
        )
        .await;
        assert_eq!(
            (saved.0, &saved.1["id"]),
            (StatusCode::OK, &json!("debian@1")),
            "{saved:?}"
        );
    }
    assert!(get(&site, "debian/versions/latest/raw", &[]).await.1 == disk);
    let image = site
        .json("GET", "/api/v1/images/debian", Value::Null)
        .await
        .1;
    assert_eq!(image["visibility"], "private");
}

#[tokio::test]
async fn lying_chunks_and_manifests_are_refused() {
    let (site, disk) = (Site::new(), disk());
    let (manifest, chunks) = cut(&disk);
    let put = format!("{UPLOADS}/chunks");
    let lie = parcel(chunks[0].0, b"something else");
    let refused = read(send(&site, "PUT", &put, lie).await).await;
    assert_eq!(code(&refused), (422, "chunk-mismatch"));
    let refused = read(
        send(
            &site,
            "PUT",
            &format!("{UPLOADS}/manifest"),
            manifest[1..].to_vec(),
        )
        .await,
    )
    .await;
    assert_eq!(code(&refused), (422, "image-invalid"));
    for path in ["short/have", "with.dots.in.it/have"] {
        let path = format!("/api/v1/images/debian/uploads/{path}");
        let refused = site.json("POST", &path, json!({"ids": []})).await;
        assert_eq!(code(&refused), (422, "bad-value"));
    }
}
