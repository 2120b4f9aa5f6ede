//! Boot files of a helper, by SHA-256: fetched over the link once, checked, kept on the disk up to a limit. What was not
//! used for longest makes room.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use ipxe_net::BootFile;
use mesh_net::{AgentLink, Body};
use mesh_proto::message::boot::StoredFile;
use mesh_proto::message::link::FromAgent;
use sha2::{Digest as _, Sha256};
use tokio::{io::AsyncWriteExt as _, sync::Mutex as AsyncMutex};

/// Bytes kept: a few management OSes and installers; a helper's disk has other work, too.
const LIMIT: u64 = 4 << 30;
/// Time for the controller to begin with a file.
const BEGIN: std::time::Duration = std::time::Duration::from_secs(35);
/// Fetches at once, by the first hex digit of what is fetched: two that want the same file share one fetch.
const LANES: usize = 16;
/// The end of the name of a file that is not whole.
const PART: &str = ".part";

/// Why a file is not here.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    /// The disk.
    #[error("the folder of boot files: {0}")]
    Disk(#[from] io::Error),
    /// The link, or what came over it.
    #[error("{0}")]
    Fetch(String),
}

/// The folder.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    limit: u64,
    lanes: [AsyncMutex<()>; LANES],
    /// Files whose bytes this process has seen to be right.
    checked: Mutex<HashSet<String>>,
}

impl Cache {
    /// Opens the folder and makes it when it is not there; halves of an earlier run go.
    ///
    /// # Errors
    /// As the disk fails.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        Self::limited(folder, LIMIT)
    }

    fn limited(folder: &Path, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(PART) {
                fs::remove_file(path)?;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            limit,
            lanes: Default::default(),
            checked: Mutex::default(),
        })
    }

    /// The file, if it is here.
    pub(super) async fn kept(&self, want: &StoredFile) -> Option<BootFile> {
        let path = self.path(want)?;
        let file = BootFile::open(&path).ok()?;
        if !self.is_checked(&want.sha256) {
            let (file, sha256) = (file.clone(), want.sha256.clone());
            let right =
                tokio::task::spawn_blocking(move || hash(&file).is_ok_and(|found| found == sha256));
            if !right.await.unwrap_or(false) {
                let _fetched_anew = fs::remove_file(&path);
                return None;
            }
            self.set_checked(&want.sha256);
        }
        touch(&path);
        Some(file)
    }

    /// The file, fetched over `link` when it is not here.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) async fn file(
        &self,
        want: &StoredFile,
        link: Option<&AgentLink>,
    ) -> Result<BootFile, CacheError> {
        let path = self.path(want);
        let path = path.ok_or_else(|| CacheError::Fetch("that is no SHA-256".to_owned()))?;
        let lane = usize::from(want.sha256.as_bytes()[0]) % LANES;
        let _lane = self.lanes[lane].lock().await;
        if let Some(file) = self.kept(want).await {
            return Ok(file);
        }
        let link = link.ok_or_else(|| CacheError::Fetch("the controller is away".to_owned()))?;
        let body = open(link, want).await?;
        self.make_room(want.size)?;
        self.take(want, body, &path).await?;
        self.set_checked(&want.sha256);
        Ok(BootFile::open(&path)?)
    }

    /// Writes what comes beside its place, and moves it there once it is what was named.
    async fn take(&self, want: &StoredFile, mut body: Body, path: &Path) -> Result<(), CacheError> {
        let part = self.folder.join(format!("{}{PART}", want.sha256));
        let mut file = tokio::fs::File::create(&part).await?;
        let (mut hasher, mut size) = (Sha256::new(), 0);
        let failed = |e: mesh_net::BodyError| CacheError::Fetch(e.to_string());
        while let Some(bytes) = body.next().await.map_err(failed)? {
            size += bytes.len() as u64;
            if size > want.size {
                break;
            }
            hasher.update(&bytes);
            file.write_all(&bytes).await?;
        }
        file.sync_all().await?;
        if size != want.size || hex(&hasher.finalize()) != want.sha256 {
            fs::remove_file(&part)?;
            let text = "what came is not the file that was named";
            return Err(CacheError::Fetch(text.to_owned()));
        }
        Ok(fs::rename(&part, path)?)
    }

    /// Removes what was not used for longest until `size` more bytes fit. A file that is being sent stays readable: it is open.
    fn make_room(&self, size: u64) -> Result<(), CacheError> {
        if size > self.limit {
            let text = format!(
                "the file has {size} bytes, and a helper keeps {}",
                self.limit
            );
            return Err(CacheError::Fetch(text));
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let (meta, path) = entry.and_then(|e| Ok((e.metadata()?, e.path())))?;
            if meta.is_file() && !path.to_string_lossy().ends_with(PART) {
                files.push((meta.modified()?, meta.len(), path));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in files {
            if total + size <= self.limit {
                break;
            }
            fs::remove_file(path)?;
            total -= len;
        }
        Ok(())
    }

    /// Where a file is; `None` for what is no hash, so that no name from the wire reaches the disk.
    fn path(&self, want: &StoredFile) -> Option<PathBuf> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let good = want.sha256.len() == 64 && want.sha256.bytes().all(digits);
        good.then(|| self.folder.join(&want.sha256))
    }

    fn is_checked(&self, sha256: &str) -> bool {
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.contains(sha256)
    }

    fn set_checked(&self, sha256: &str) {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.insert(sha256.to_owned());
    }
}

async fn open(link: &AgentLink, want: &StoredFile) -> Result<Body, CacheError> {
    let ask = FromAgent::BootFile {
        sha256: want.sha256.clone(),
    };
    let opened = link.fetch(&ask, BEGIN).await;
    let (_, body) = opened.map_err(|e| CacheError::Fetch(e.to_string()))?;
    Ok(body)
}

/// All bytes of a small file that is not to be kept.
pub(super) async fn at_once(
    link: &AgentLink,
    want: &StoredFile,
    most: usize,
) -> Result<Vec<u8>, CacheError> {
    let wrong = || CacheError::Fetch("what came is not the file that was named".to_owned());
    let size = usize::try_from(want.size).ok().filter(|size| *size <= most);
    let mut bytes = vec![0; size.ok_or_else(wrong)?];
    let mut body = open(link, want).await?;
    let failed = |e: mesh_net::BodyError| CacheError::Fetch(e.to_string());
    body.fill(&mut bytes).await.map_err(failed)?;
    let right = hex(&Sha256::digest(&bytes)) == want.sha256;
    right.then_some(bytes).ok_or_else(wrong)
}

fn hash(file: &BootFile) -> io::Result<String> {
    let (mut hasher, mut piece, mut done) = (Sha256::new(), vec![0; 256 << 10], 0);
    loop {
        match file.read_at(&mut piece, done)? {
            0 => return Ok(hex(&hasher.finalize())),
            n => {
                hasher.update(&piece[..n]);
                done += n as u64;
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Its time is when it was used last; a file system that refuses that only forgets the wrong file first.
fn touch(path: &Path) {
    let now = SystemTime::now();
    let _older = fs::File::open(path).and_then(|file| file.set_modified(now));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn stored(bytes: &[u8]) -> StoredFile {
        StoredFile {
            sha256: hex(&Sha256::digest(bytes)),
            size: bytes.len() as u64,
        }
    }

    fn put(cache: &Cache, bytes: &[u8], age_s: u64) -> StoredFile {
        let want = stored(bytes);
        let path = cache.path(&want).unwrap();
        fs::write(&path, bytes).unwrap();
        let then = SystemTime::now() - Duration::from_secs(age_s);
        fs::File::open(&path).unwrap().set_modified(then).unwrap();
        want
    }

    #[tokio::test]
    async fn a_file_that_was_changed_on_the_disk_is_not_served() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::limited(folder.path(), 1 << 20).unwrap();
        let want = put(&cache, b"kernel", 5);
        fs::write(cache.path(&want).unwrap(), b"Kernel").unwrap();
        assert!(cache.kept(&want).await.is_none());
        assert!(!cache.path(&want).unwrap().exists(), "fetched anew");
        let want = put(&cache, b"kernel", 5);
        assert_eq!(cache.kept(&want).await.unwrap().size(), 6);
    }

    #[tokio::test]
    async fn what_was_not_used_for_longest_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::limited(folder.path(), 25).unwrap();
        let old = put(&cache, &[1; 10], 300);
        let used = put(&cache, &[2; 10], 600);
        assert!(cache.kept(&used).await.is_some(), "used just now");
        cache.make_room(10).unwrap();
        assert!(cache.kept(&old).await.is_none());
        assert!(cache.kept(&used).await.is_some());
        assert!(cache.make_room(26).is_err(), "larger than all there is");
    }

    #[test]
    fn a_name_from_the_wire_is_a_hash_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::limited(folder.path(), 25).unwrap();
        for sha256 in ["../../etc/passwd", "", &"G".repeat(64), &"A".repeat(64)] {
            let want = StoredFile {
                sha256: sha256.to_owned(),
                size: 1,
            };
            assert_eq!(cache.path(&want), None, "{sha256}");
        }
    }
}
