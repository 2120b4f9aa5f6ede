//! A disk to the controller. A raw one is cut, hashed and compressed here, and only what the store lacks is sent; a compressed
//! one goes as it is, and the controller unpacks it.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use ::image::{
    Builder, ChunkId, ChunkSize,
    parcel::{Form, Head},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::Method;
use serde_json::Value;

use crate::{
    cli::{
        Session,
        bar::Bar,
        client::{Body, Client, encode, read},
        failure::Failure,
        output::size,
        upload::read_in_pieces,
    },
    http::api::images::uploads::{HaveBody, MissingDoc},
};

/// Chunks asked about, and sent, at once: 32 MiB in memory, and enough that asking costs little.
const WINDOW: usize = 32;
/// As the store compresses.
const LEVEL: i32 = 3;

/// What is said about the version.
pub(super) struct About {
    pub(super) note: Option<String>,
    pub(super) private: bool,
}

impl About {
    fn query(&self) -> String {
        let note = self
            .note
            .as_ref()
            .map(|note| format!("note={}", encode(note)));
        let private = self.private.then(|| "visibility=private".to_owned());
        let all: Vec<String> = note.into_iter().chain(private).collect();
        if all.is_empty() {
            String::new()
        } else {
            format!("?{}", all.join("&"))
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::Local(format!("cannot read {}: {error}", path.display()))
}

/// Uploads `file`; the version it is now.
pub(super) async fn push(
    file: &Path,
    name: &str,
    about: &About,
    session: &Session<'_>,
) -> Result<Value, Failure> {
    let failed = |e: io::Error| unreadable(file, &e);
    let mut disk = File::open(file).map_err(failed)?;
    let length = disk.metadata().map_err(failed)?.len();
    let mut head = vec![0; 8192.min(usize::try_from(length).unwrap_or(8192))];
    disk.read_exact(&mut head).map_err(failed)?;
    let title = file
        .file_name()
        .unwrap_or(file.as_os_str())
        .to_string_lossy();
    let bar = Bar::new(&title, length);
    if is_packed(&head) {
        return whole(file, length, name, about, bar, session).await;
    }
    let disk = Disk {
        file: File::open(file).map_err(failed)?,
        builder: Builder::new(sector_size(&head), ChunkSize::default())
            .map_err(|e| Failure::Local(e.to_string()))?,
        length,
        chunk: ChunkSize::default(),
    };
    let upload = Upload {
        path: format!(
            "/images/{}/uploads/{:032x}",
            encode(name),
            rand::random::<u128>()
        ),
        client: &session.client,
        sent: 0,
        bar,
    };
    upload.run(disk, file, about).await
}

/// A stream that the controller unpacks.
async fn whole(
    file: &Path,
    length: u64,
    name: &str,
    about: &About,
    bar: Bar,
    session: &Session<'_>,
) -> Result<Value, Failure> {
    let body: Body = StreamBody::new(read_in_pieces(file.to_owned(), bar)).boxed_unsync();
    let path = format!("/images/{}/versions{}", encode(name), about.query());
    session.client.upload(&path, length, body).await
}

/// gzip, zstd and xz, as the controller sees them.
fn is_packed(head: &[u8]) -> bool {
    matches!(
        head,
        [0x1f, 0x8b, 8, ..]
            | [0x28, 0xb5, 0x2f, 0xfd, ..]
            | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
            | [0xfd, b'7', b'z', b'X', b'Z', 0, ..]
    )
}

/// By where the GUID partition table's header is.
fn sector_size(head: &[u8]) -> u32 {
    let header = head.get(4096..).unwrap_or_default();
    if header.starts_with(b"EFI PART") {
        4096
    } else {
        512
    }
}

/// Chunks that are no holes, and how many bytes of the disk they and the holes between them are.
#[derive(Default)]
struct Window {
    chunks: Vec<(ChunkId, Vec<u8>)>,
    read: u64,
}

struct Disk {
    file: File,
    builder: Builder,
    length: u64,
    chunk: ChunkSize,
}

impl Disk {
    /// The next chunks that are no holes; empty at the end.
    fn window(&mut self) -> io::Result<Window> {
        let Window {
            mut chunks,
            mut read,
        } = Window::default();
        while chunks.len() < WINDOW {
            let at = self.builder.pieces_len() * self.chunk.bytes();
            let left = self.length.saturating_sub(at).min(self.chunk.bytes());
            if left == 0 {
                break;
            }
            let mut plain = vec![0; usize::try_from(left).expect("at most a chunk")];
            self.file.read_exact(&mut plain)?;
            read += left;
            if plain.iter().all(|b| *b == 0) {
                self.builder.push(None);
                continue;
            }
            let id = ChunkId::of(&plain);
            self.builder.push(Some(id));
            chunks.push((id, plain));
        }
        Ok(Window { chunks, read })
    }
}

struct Upload<'a> {
    path: String,
    client: &'a Client,
    sent: u64,
    bar: Bar,
}

impl Upload<'_> {
    async fn run(mut self, mut disk: Disk, file: &Path, about: &About) -> Result<Value, Failure> {
        loop {
            let Window { chunks, read } = disk.window().map_err(|e| unreadable(file, &e))?;
            if read == 0 {
                break;
            }
            self.window(chunks).await?;
            self.bar.note = format!("{} sent", size(self.sent));
            self.bar.add(read);
        }
        self.bar.end();
        let manifest = disk.builder.finish(disk.length);
        let manifest =
            manifest.map_err(|e| Failure::Local(format!("{} is no disk: {e}", file.display())))?;
        let path = format!("{}/manifest{}", self.path, about.query());
        let bytes = manifest.encode();
        self.put(&path, bytes).await
    }

    /// Sends what the store lacks of these.
    async fn window(&mut self, chunks: Vec<(ChunkId, Vec<u8>)>) -> Result<(), Failure> {
        if chunks.is_empty() {
            return Ok(());
        }
        let ask = HaveBody {
            ids: chunks.iter().map(|(id, _)| *id).collect(),
        };
        let path = format!("{}/have", self.path);
        let answer = self.client.send(Method::POST, &path, &ask).await?;
        let MissingDoc { missing } = read(answer)?;
        let mut parcels = Vec::new();
        for place in missing {
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            let wrong = || Failure::Answer("a chunk nobody asked about".to_owned());
            let (id, plain) = chunks.get(place).ok_or_else(wrong)?;
            pack(*id, plain, &mut parcels);
        }
        if !parcels.is_empty() {
            self.sent += parcels.len() as u64;
            let path = format!("{}/chunks", self.path);
            self.put(&path, parcels).await?;
        }
        Ok(())
    }

    async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<Value, Failure> {
        let length = bytes.len() as u64;
        let body = Full::new(Bytes::from(bytes)).map_err(|e| match e {});
        let body = body.boxed_unsync();
        self.client.upload(path, length, body).await
    }
}

/// Adds a chunk as a parcel: compressed where that makes it smaller.
fn pack(id: ChunkId, plain: &[u8], parcels: &mut Vec<u8>) {
    let packed = zstd::bulk::compress(plain, LEVEL).ok();
    let packed = packed.filter(|packed| packed.len() < plain.len());
    let (form, content) = match &packed {
        Some(packed) => (Form::Zstd, packed.as_slice()),
        None => (Form::Raw, plain),
    };
    let len = u32::try_from(content.len()).expect("at most a chunk");
    parcels.extend_from_slice(&Head { id, form, len }.encode());
    parcels.extend_from_slice(content);
}
