//! Where one lab keeps its logs, sockets and disks.

use anyhow::{Context, Result, ensure};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// A folder for one lab's logs, sockets and disks; removed with the lab unless something failed or `ENFORCER_LAB_KEEP` is set.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    keep: AtomicBool,
}

impl RunFolder {
    pub(super) fn create(name: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!(
            "enforcer-lab-{}-{number}-{name}",
            std::process::id()
        ));
        // the longest socket is `NAME/api.sock`; the kernel takes 107 bytes for a path
        ensure!(
            path.as_os_str().len() <= 80,
            "{} is too long for unix sockets: set TMPDIR to a short folder",
            path.display()
        );
        sweep();
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self {
            path,
            keep: AtomicBool::new(env::var_os("ENFORCER_LAB_KEEP").is_some()),
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Keep the folder after the end: somebody will want to read the logs. Every failed expectation calls this.
    pub fn keep(&self) {
        self.keep.store(true, Ordering::Relaxed);
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if !self.keep.load(Ordering::Relaxed) && !thread::panicking() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes folders that failed runs kept: those of dead processes, a day after.
fn sweep() {
    /// Long enough to read the logs of last night's run.
    const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
    let Ok(entries) = fs::read_dir(env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix("enforcer-lab-")
            .and_then(|rest| rest.split('-').next());
        let Some(owner) = owner else { continue };
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > KEPT_FOR));
        if old && !Path::new("/proc").join(owner).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
