//! The key folder: made once, complete or not at all, readable for its owner only.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use mesh_proto::{identity::NodeId, json};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde::{Deserialize, Serialize};

use super::{Ca, CaError, issue};

/// The CA's key, PKCS#8.
const KEY: &str = "ca.key";
/// The CA's certificate.
const CERTIFICATE: &str = "ca.crt";
/// Who we are. Written last: with it the folder is complete.
const SITE: &str = "site.json";

/// How often this controller has started.
const STARTS: &str = "starts";

/// What stays the same for good.
#[derive(Debug, Serialize, Deserialize)]
struct SiteFile {
    site: String,
    controller: NodeId,
}

impl Ca {
    /// The authority in `state`'s folder `ca/`; the first time it is made.
    ///
    /// # Errors
    /// With the cure; an authority that is there but damaged is never replaced.
    pub fn open(state: &Path, site: &str) -> Result<Self, CaError> {
        let folder = state.join("ca");
        fs::create_dir_all(&folder).map_err(|e| io_error(&folder, e))?;
        let private = fs::set_permissions(&folder, Permissions::from_mode(0o700));
        private.map_err(|e| io_error(&folder, e))?;
        if !exists(&folder.join(SITE))? {
            make(&folder, site)?;
        }
        load(folder, site)
    }
}

fn load(folder: PathBuf, site: &str) -> Result<Ca, CaError> {
    let damaged = |name: &str| CaError::Damaged {
        path: folder.join(name),
    };
    let known: SiteFile =
        json::from_slice(read(&folder, SITE)?.as_bytes()).map_err(|_| damaged(SITE))?;
    if known.site != site {
        return Err(CaError::OtherSite {
            path: folder,
            theirs: known.site,
            configured: site.to_owned(),
        });
    }
    let key = KeyPair::from_pem(&read(&folder, KEY)?).map_err(|_| damaged(KEY))?;
    let certificate = read(&folder, CERTIFICATE)?;
    // Two halves of different backups would sign what nobody believes.
    if !issue::belongs(&certificate, &key) {
        return Err(damaged(CERTIFICATE));
    }
    let starts = count_start(&folder)?;
    Ca::new(site, known.controller, starts, certificate, key).map_err(|_| damaged(CERTIFICATE))
}

/// One start more. A count that cannot be read begins anew: the members then hear of us when they call.
fn count_start(folder: &Path) -> Result<u32, CaError> {
    let before = fs::read_to_string(folder.join(STARTS)).unwrap_or_default();
    let starts = before.trim().parse::<u32>().unwrap_or(0).saturating_add(1);
    write(folder, STARTS, 0o644, starts.to_string().as_bytes())?;
    Ok(starts)
}

fn make(folder: &Path, site: &str) -> Result<(), CaError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = issue::self_signed(site, &key)?;
    write(folder, KEY, 0o600, key.serialize_pem().as_bytes())?;
    write(folder, CERTIFICATE, 0o644, certificate.as_bytes())?;
    let known = SiteFile {
        site: site.to_owned(),
        controller: NodeId(rand::random()),
    };
    let text = serde_json::to_vec_pretty(&known).map_err(|e| io_error(folder, e.into()))?;
    write(folder, SITE, 0o644, &text)
}

fn read(folder: &Path, name: &str) -> Result<String, CaError> {
    let path = folder.join(name);
    fs::read_to_string(&path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidData => CaError::Damaged { path },
        _ => io_error(&path, e),
    })
}

fn exists(path: &Path) -> Result<bool, CaError> {
    path.try_exists().map_err(|e| io_error(path, e))
}

/// A file that is there whole, and still there after a power cut, or not at all.
fn write(folder: &Path, name: &str, mode: u32, bytes: &[u8]) -> Result<(), CaError> {
    let (path, draft) = (folder.join(name), folder.join(format!("{name}.new")));
    let written = || -> io::Result<()> {
        // Left by a start that was cut off; its mode may be another.
        let _ = fs::remove_file(&draft);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(|e| io_error(&path, e))
}

fn io_error(path: &Path, source: io::Error) -> CaError {
    CaError::Io {
        path: path.to_owned(),
        source,
    }
}
