//! Local files to the controller: by content, with a line of progress on a terminal. What is there is not sent again.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use sha2::{Digest as _, Sha256};

use super::{
    bar::Bar,
    client::{Body, Client},
    failure::Failure,
};
use crate::{
    assets::Sha256Hex,
    http::{api::boot_configs::FileInput, error::Code},
};

/// Bytes read and sent at once.
const CHUNK: usize = 256 << 10;

/// A local file and the name that boot scripts shall know it by: `NAME=PATH`, or a path whose file name will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedFile {
    /// The name in scripts.
    pub(super) name: String,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// A file for the controller: one of this host, which goes up by its content, or one that the controller fetches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileArgument {
    /// `[NAME=]PATH`.
    Local(NamedFile),
    /// `[NAME=]URL[#sha256=SUM]`.
    Remote(FileInput),
}

impl std::str::FromStr for FileArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_url = |t: &str| t.starts_with("http://") || t.starts_with("https://");
        let (name, url) = match text.split_once('=') {
            Some((name, rest)) if !name.contains('/') && is_url(rest) => (Some(name), rest),
            _ if is_url(text) => (None, text),
            _ => return text.parse().map(Self::Local),
        };
        let (url, sha256) = match url.split_once("#sha256=") {
            Some((url, sum)) => (url, Some(sum.to_owned())),
            None => (url, None),
        };
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default();
        let name = name.unwrap_or(last);
        if name.is_empty() {
            return Err(format!("'{text}' names no file; write NAME=URL"));
        }
        Ok(Self::Remote(FileInput {
            name: name.to_owned(),
            sha256,
            url: Some(url.to_owned()),
        }))
    }
}

impl FileArgument {
    /// What a config names it by; sent before, where it is a file of this host.
    pub(super) async fn settle(&self, client: &Client) -> Result<FileInput, Failure> {
        match self {
            Self::Local(file) => file.upload(client).await,
            Self::Remote(input) => Ok(input.clone()),
        }
    }
}

impl std::str::FromStr for NamedFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A path may have an '=', a name has no '/'.
        if let Some((name, path)) = text.split_once('=')
            && !name.is_empty()
            && !name.contains('/')
        {
            return Ok(Self {
                name: name.to_owned(),
                path: path.into(),
            });
        }
        let path = PathBuf::from(text);
        let name = path.file_name().and_then(|n| n.to_str());
        Ok(Self {
            name: name
                .ok_or_else(|| format!("'{text}' names no file; write NAME=PATH"))?
                .to_owned(),
            path,
        })
    }
}

impl NamedFile {
    /// The file as a text.
    pub(super) fn read_text(&self) -> Result<String, Failure> {
        std::fs::read_to_string(&self.path).map_err(|e| unreadable(&self.path, &e))
    }

    /// Sends the file, unless the controller has it; what a config names it by.
    pub(super) async fn upload(&self, client: &Client) -> Result<FileInput, Failure> {
        let (sha256, length) = sum(&self.path)?;
        let path = format!("/files/{sha256}");
        match client.get(&path).await {
            Ok(_) => {}
            Err(Failure::Refused(problem)) if problem.code == Code::FileNotFound.text() => {
                let name = self.path.file_name().unwrap_or(self.path.as_os_str());
                let bar = Bar::new(&name.to_string_lossy(), length);
                let body = StreamBody::new(read_in_pieces(self.path.clone(), bar));
                let body: Body = body.boxed_unsync();
                client.upload(&path, length, body).await?;
            }
            Err(failure) => return Err(failure),
        }
        Ok(FileInput {
            name: self.name.clone(),
            sha256: Some(sha256.to_string()),
            url: None,
        })
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::Local(format!("cannot read {}: {error}", path.display()))
}

/// The SHA-256 and the length of a file.
fn sum(path: &Path) -> Result<(Sha256Hex, u64), Failure> {
    let failed = |e: io::Error| unreadable(path, &e);
    let mut file = File::open(path).map_err(failed)?;
    let (mut digest, mut length) = (Sha256::new(), 0);
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = file.read(&mut buffer).map_err(failed)?;
        if n == 0 {
            return Ok((Sha256Hex::of(digest), length));
        }
        digest.update(&buffer[..n]);
        length += n as u64;
    }
}

/// The bytes of a file, piece by piece; tells a terminal how far it is.
pub(super) fn read_in_pieces(
    path: PathBuf,
    mut bar: Bar,
) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
    async_stream::try_stream! {
        let mut file = File::open(&path)?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            yield Frame::data(Bytes::copy_from_slice(&buffer[..n]));
            bar.add(n as u64);
        }
        bar.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Option<(String, String)> {
        let file: NamedFile = text.parse().ok()?;
        Some((file.name, file.path.display().to_string()))
    }

    #[test]
    fn a_file_is_named_by_itself_or_by_its_person() {
        for (text, name, path) in [
            ("/srv/vmlinuz", "vmlinuz", "/srv/vmlinuz"),
            ("kernel=/srv/v=1", "kernel", "/srv/v=1"),
            ("./a=b/initrd.gz", "initrd.gz", "./a=b/initrd.gz"),
        ] {
            assert_eq!(
                named(text),
                Some((name.to_owned(), path.to_owned())),
                "{text}"
            );
        }
        assert_eq!(named("/"), None);
    }
}
