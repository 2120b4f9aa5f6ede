//! A disk to the controller. It is unpacked, cut, hashed and compressed here, and only what the store lacks is sent: a push
//! that broke goes on where it was, however the file is packed.

use std::{
    fs::File,
    io::{self, BufReader},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ::image::{
    Builder, ChunkId, ChunkSize,
    parcel::{Form, Head},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Method;
use image_store::{DiskReader, IngestError, Packing, sector_size};
use serde_json::Value;

use crate::{
    cli::{
        Session,
        bar::Bar,
        client::{Client, encode, read},
        failure::Failure,
        output::size,
    },
    http::api::images::uploads::{HaveBody, MissingDoc},
};

/// Chunks asked about, and sent, at once: 32 MiB in memory, and enough that asking costs little.
const WINDOW: usize = 32;
/// Read of the file at once.
const FILE_BUFFER: usize = 256 << 10;

/// What is said about the version.
pub(super) struct About {
    pub(super) note: Option<String>,
    pub(super) private: bool,
    /// Bytes of a sector; `None`: as its partition table says, else 512.
    pub(super) sector_size: Option<u32>,
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

/// Reads a sector's size.
pub(super) fn parse_sector_size(text: &str) -> Result<u32, String> {
    match text {
        "512" => Ok(512),
        "4096" => Ok(4096),
        _ => Err("sectors have 512 or 4096 bytes".to_owned()),
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
    let disk = File::open(file).map_err(failed)?;
    let length = disk.metadata().map_err(failed)?.len();
    let title = file
        .file_name()
        .unwrap_or(file.as_os_str())
        .to_string_lossy();
    let upload = Upload {
        path: format!(
            "/images/{}/uploads/{:032x}",
            encode(name),
            rand::random::<u128>()
        ),
        client: &session.client,
        sent: 0,
        bar: Bar::new(&title, length),
    };
    let disk = Disk::open(disk, about.sector_size).map_err(|e| no_disk(file, &e))?;
    upload.run(disk, file, about).await
}

fn no_disk(file: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Local(format!("{}: {error}", file.display()))
}

/// Chunks that are no holes, and how many bytes of the file they and the holes between them are.
#[derive(Default)]
struct Window {
    chunks: Vec<(ChunkId, Vec<u8>)>,
    read: u64,
    /// The disk goes on behind it.
    more: bool,
}

/// A file that says how much of it was read: where it is packed, the disk's own bytes tell nothing about the end.
struct Counted(File, Arc<AtomicU64>);

impl io::Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.0.read(buffer)?;
        self.1.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

struct Disk {
    reader: DiskReader,
    /// Bytes of the file that were read, and those that were told.
    read: Arc<AtomicU64>,
    told: u64,
    /// The first chunk, which had to be looked at.
    first: Option<Vec<u8>>,
    builder: Builder,
    length: u64,
}

impl Disk {
    fn open(file: File, said: Option<u32>) -> Result<Self, IngestError> {
        let read = Arc::new(AtomicU64::new(0));
        let counted = BufReader::with_capacity(FILE_BUFFER, Counted(file, Arc::clone(&read)));
        let mut reader = DiskReader::new(counted)?;
        let first = chunk(&mut reader)?;
        let builder = Builder::new(sector_size(said, &first)?, ChunkSize::default())?;
        Ok(Self {
            reader,
            read,
            told: 0,
            first: Some(first),
            builder,
            length: 0,
        })
    }

    /// The next chunks that are no holes.
    fn window(&mut self) -> Result<Window, IngestError> {
        let mut window = Window::default();
        while window.chunks.len() < WINDOW {
            let plain = match self.first.take() {
                Some(first) => first,
                None => chunk(&mut self.reader)?,
            };
            self.length += plain.len() as u64;
            window.more = plain.len() as u64 == ChunkSize::default().bytes();
            if plain.iter().any(|b| *b != 0) {
                let id = ChunkId::of(&plain);
                self.builder.push(Some(id));
                window.chunks.push((id, plain));
            } else if !plain.is_empty() {
                self.builder.push(None);
            }
            if !window.more {
                break;
            }
        }
        let read = self.read.load(Ordering::Relaxed);
        window.read = read - self.told;
        self.told = read;
        Ok(window)
    }
}

/// The disk's next chunk; shorter, or empty, at its end.
fn chunk(reader: &mut DiskReader) -> Result<Vec<u8>, IngestError> {
    let mut plain = vec![0; usize::try_from(ChunkSize::default().get()).expect("some MiB")];
    let len = reader.fill(&mut plain)?;
    plain.truncate(len);
    Ok(plain)
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
            let Window { chunks, read, more } = disk.window().map_err(|e| no_disk(file, &e))?;
            self.window(chunks).await?;
            self.bar.note = format!("{} sent", size(self.sent));
            self.bar.add(read);
            if !more {
                break;
            }
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
        let MissingDoc { missing } = read(&answer)?;
        let (mut packing, mut parcels) = (Packing::default(), Vec::new());
        for place in missing {
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            let wrong = || Failure::Answer("a chunk nobody asked about".to_owned());
            let (id, plain) = chunks.get(place).ok_or_else(wrong)?;
            pack(*id, plain, &mut packing, &mut parcels);
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
fn pack(id: ChunkId, plain: &[u8], packing: &mut Packing, parcels: &mut Vec<u8>) {
    let (form, content) = match packing.smaller(plain) {
        Some(frame) => (Form::Zstd, frame),
        None => (Form::Raw, plain),
    };
    let len = u32::try_from(content.len()).expect("at most a chunk");
    parcels.extend_from_slice(&Head { id, form, len }.encode());
    parcels.extend_from_slice(content);
}
