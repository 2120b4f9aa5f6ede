//! The file: a JSON document a line, as the API has them. Who moves it away (logrotate) gets a new one, with SIGHUP or without.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

use super::Target;
use crate::http::api::audit::AuditDoc;

/// How each line of ours begins.
const OURS: &[u8] = b"{\"seq\":";
/// Of the file's end so much is read to find its last line, bytes: a line has some hundred.
const TAIL: u64 = 64 << 10;

/// See the module.
pub(super) struct File {
    path: PathBuf,
    open: Option<fs::File>,
}

impl File {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// The file of that name, opened if it is not the one that is open.
    fn opened(&mut self) -> io::Result<&mut fs::File> {
        let of = |meta: fs::Metadata| (meta.dev(), meta.ino());
        let there = fs::metadata(&self.path).map(of).ok();
        let ours = self.open.as_ref().and_then(|f| f.metadata().map(of).ok());
        if there.is_none() || there != ours {
            self.open = None;
        }
        let file = match self.open.take() {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                options.read(true).append(true).create(true).mode(0o640);
                let mut file = options.open(&self.path)?;
                let (whole, _) = tail(&mut file)?;
                file.set_len(whole)?;
                end_line(&mut file)?;
                file
            }
        };
        Ok(self.open.insert(file))
    }
}

/// Where what is to stay ends, and the last whole line. What a crash has left of a line of ours is not to stay.
fn tail(file: &mut fs::File) -> io::Result<(u64, String)> {
    let size = file.metadata()?.len();
    let start = size.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    let (lines, rest) = bytes.split_at(end.map_or(0, |end| end + 1));
    // What is not ours stays, as whatever it is.
    let is_torn = start + (lines.len() as u64) < size && is_begun(rest);
    let whole = match is_torn && (end.is_some() || start == 0) {
        true => start + lines.len() as u64,
        false => size,
    };
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
    let line = lines.rsplit(|byte| *byte == b'\n').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    Ok((whole, line.into_owned()))
}

/// Whether this can be the beginning of a line of ours.
fn is_begun(rest: &[u8]) -> bool {
    let common = rest.len().min(OURS.len());
    rest.get(..common) == OURS.get(..common)
}

/// What follows begins on a line of its own.
fn end_line(file: &mut fs::File) -> io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    match last {
        [b'\n'] => Ok(()),
        _ => file.write_all(b"\n"),
    }
}

impl Target for File {
    fn name(&self) -> String {
        format!("the file {}", self.path.display())
    }

    fn label(&self) -> &'static str {
        "file"
    }

    fn last(&mut self) -> Option<u64> {
        let line = tail(self.opened().ok()?).ok()?.1;
        let line: AuditDoc = serde_json::from_str(&line).ok()?;
        Some(line.seq)
    }

    fn add(&mut self, lines: &[AuditDoc]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        let file = self.opened()?;
        let before = file.metadata()?.len();
        let written = file.write_all(&text);
        if written.is_err() {
            // The half of a line that a full disk has taken is taken back.
            let _as_well_as_it_can = file.set_len(before);
        }
        written
    }

    fn reopen(&mut self) {
        self.open = None;
    }
}
