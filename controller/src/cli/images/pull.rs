//! A version to a file. It grows as `FILE.part`, holes stay holes, and what broke goes on from there.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use http_body_util::BodyExt as _;

use crate::{
    cli::{Session, bar::Bar, client::encode, failure::Failure},
    state::image::ImageSpec,
};

/// Zeros of this length and alignment become holes: a block of most file systems.
const BLOCK: usize = 4096;

/// Downloads `image`.
pub(super) async fn pull(
    image: &ImageSpec,
    file: &Path,
    session: &Session<'_>,
) -> Result<(), Failure> {
    if file.exists() {
        let text = format!("{} is there already; name another file", file.display());
        return Err(Failure::Usage(text));
    }
    let packed = file.extension().is_some_and(|e| e == "zst");
    let version = image
        .number
        .map_or_else(|| "latest".to_owned(), |n| n.to_string());
    let base = format!("/images/{}/versions", encode(image.image.as_str()));
    // `latest` may be another one when a broken download goes on.
    let known = session.client.get(&format!("{base}/{version}")).await?;
    let number = known["number"].as_u64().unwrap_or_default();
    let kind = if packed { "zstd" } else { "raw" };
    let part = part_of(file, number);
    let mut out = Sparse::open(&part).map_err(|e| unwritable(&part, &e))?;
    let from = out.at;
    let path = format!("{base}/{number}/{kind}");
    let (total, mut body) = session.client.download(&path, from).await?;
    let mut bar = Bar::new(&format!("{}@{number}", image.image), total);
    bar.skip(from);
    while out.at < total
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|e| {
            Failure::Local(format!(
                "the download broke ({e}); run it again, it goes on from there"
            ))
        })?;
        if let Ok(bytes) = frame.into_data() {
            out.write(&bytes).map_err(|e| unwritable(&part, &e))?;
            bar.add(bytes.len() as u64);
        }
    }
    bar.end();
    let done = out
        .finish(total)
        .and_then(|()| std::fs::rename(&part, file));
    done.map_err(|e| unwritable(file, &e))
}

fn part_of(file: &Path, number: u64) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(format!(".{number}.part"));
    name.into()
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Local(format!("cannot write {}: {error}", path.display()))
}

/// A file whose blocks of zeros are holes.
struct Sparse {
    file: File,
    at: u64,
}

impl Sparse {
    /// Goes on behind what is there.
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(false)
            .write(true)
            .truncate(false)
            .open(path)?;
        let at = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, at })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for block in bytes.chunks(BLOCK) {
            if block.iter().any(|b| *b != 0) {
                self.file.seek(SeekFrom::Start(self.at))?;
                self.file.write_all(block)?;
            }
            self.at += block.len() as u64;
        }
        Ok(())
    }

    fn finish(self, total: u64) -> io::Result<()> {
        if self.at != total {
            let text = format!(
                "{} bytes came, and {total} were announced; run it again",
                self.at
            );
            return Err(io::Error::other(text));
        }
        self.file.set_len(total)?;
        self.file.sync_all()
    }
}
