//! What an installed agent keeps between boots: its key, the certificate, the controllers. One file in one folder that
//! only root may read, replaced as a whole, so that a power cut leaves the old or the new and nothing between.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mesh_proto::identity::NodeId;
use mesh_proto::json;
use mesh_proto::message::Secret;
pub use mesh_proto::message::enrol::Join;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::fingerprint::Fingerprint;

/// Where an installed agent keeps its state.
pub const DEFAULT_FOLDER: &str = "/var/lib/enforcer-agent";

const IDENTITY: &str = "identity.json";
const JOIN: &str = "join.json";
const LOCK: &str = "lock";

/// Key, two certificates and some addresses are 3 KiB; a larger file is not ours.
const LIMIT_BYTES: u64 = 64 << 10;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// A file or folder refused.
    #[error("{path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not what this program writes.
    #[error("{path} is damaged; remove it and join again")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Two agents with one key would push each other off their link.
    #[error("another enforcer-agent uses {0}")]
    Busy(PathBuf),
}

/// The identity of an installed agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The board it was enrolled on.
    pub board: Fingerprint,
    /// The site's name.
    pub site: String,
    /// The machine this is.
    pub machine: NodeId,
    /// The machine's name, for people.
    pub name: String,
    /// The key pair, PKCS#8 PEM.
    pub key: Secret,
    /// The certificate, PEM.
    pub certificate: String,
    /// The site's CA, PEM.
    pub ca: String,
    /// Where controllers listen for links.
    pub controllers: Vec<SocketAddr>,
    /// The newest generation a controller gave.
    #[serde(default)]
    pub last_generation: u32,
}

/// What was found at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing: never enrolled.
    Nothing,
    /// An identity of this board.
    Own(Box<Kept>),
    /// An identity of another board; its key has been deleted.
    OtherBoard {
        /// Whose it was.
        machine: NodeId,
        /// Where its controllers are: known to listen, so good for enrolling anew.
        controllers: Vec<SocketAddr>,
    },
}

/// The folder, locked as long as this lives.
#[derive(Debug)]
pub struct KeyStore {
    folder: PathBuf,
    _lock: File,
}

impl KeyStore {
    /// Opens the folder and makes it when it is not there.
    ///
    /// # Errors
    /// When it cannot be made or kept to its owner, or another agent uses it.
    pub fn open(folder: &Path) -> Result<Self, KeyStoreError> {
        let failed = file_error(folder);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(&failed)?;
        // A folder somebody made by hand may be open to all.
        fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(&failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(folder.join(LOCK))
            .map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| KeyStoreError::Busy(folder.to_owned()))?;
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    /// Looks for an identity and compares the board it was made on with this one.
    ///
    /// # Errors
    /// When the file is there and cannot be read or removed.
    pub fn find(&self, board: &Fingerprint) -> Result<Found, KeyStoreError> {
        let Some(kept) = self.read::<Kept>(IDENTITY)? else {
            return Ok(Found::Nothing);
        };
        if kept.board.is_same_board(board) {
            return Ok(Found::Own(Box::new(kept)));
        }
        self.forget()?;
        Ok(Found::OtherBoard {
            machine: kept.machine,
            controllers: kept.controllers,
        })
    }

    /// Keeps an identity in place of what was there.
    ///
    /// # Errors
    /// When it cannot be made durable; the old one is then still there.
    pub fn keep(&self, kept: &Kept) -> Result<(), KeyStoreError> {
        self.write(IDENTITY, kept)
    }

    /// Deletes the identity; without one it is no error.
    ///
    /// # Errors
    /// When it is there and stays.
    pub fn forget(&self) -> Result<(), KeyStoreError> {
        self.remove(IDENTITY)
    }

    /// The join that is still to be done.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn join(&self) -> Result<Option<Join>, KeyStoreError> {
        self.read(JOIN)
    }

    /// Leaves a join for the daemon.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn keep_join(&self, join: &Join) -> Result<(), KeyStoreError> {
        self.write(JOIN, join)
    }

    /// The join is done, or never will be.
    ///
    /// # Errors
    /// When it is there and stays.
    pub fn forget_join(&self) -> Result<(), KeyStoreError> {
        self.remove(JOIN)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, KeyStoreError> {
        let path = self.folder.join(name);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > LIMIT_BYTES => {
                return Err(file_error(&path)(io::Error::other("far too large")));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(file_error(&path)(error)),
        }
        let bytes = fs::read(&path).map_err(file_error(&path))?;
        let value = json::from_slice(&bytes);
        value
            .map(Some)
            .map_err(|source| KeyStoreError::Damaged { path, source })
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), KeyStoreError> {
        let path = self.folder.join(name);
        let text = serde_json::to_vec_pretty(value).map_err(|source| KeyStoreError::Damaged {
            path: path.clone(),
            source,
        })?;
        self.replace(&path, &text).map_err(file_error(&path))
    }

    /// New file beside the old one, to the disk, then in its place; the folder's entry to the disk as well.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let new = path.with_extension("new");
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(&self.folder)?.sync_all()
    }

    fn remove(&self, name: &str) -> Result<(), KeyStoreError> {
        let path = self.folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error(&path)(error)),
            _ => Ok(()),
        }
    }
}

fn file_error(path: &Path) -> impl Fn(io::Error) -> KeyStoreError {
    let path = path.to_owned();
    move |source| KeyStoreError::File {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(serial: &str) -> Fingerprint {
        Fingerprint {
            serial: Some(serial.into()),
            ..Fingerprint::default()
        }
    }

    fn kept() -> Kept {
        Kept {
            board: board("s1"),
            site: "home".into(),
            machine: NodeId(7),
            name: "node-7".into(),
            key: Secret::new("-----BEGIN PRIVATE KEY-----"),
            certificate: "cert".into(),
            ca: "ca".into(),
            controllers: vec!["10.0.0.1:4848".parse().unwrap()],
            last_generation: 3,
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_kept_is_found_again_on_the_same_board_and_only_its_owner_may_read_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("state");
        let store = KeyStore::open(&folder).unwrap();
        assert_eq!(store.find(&board("s1")).unwrap(), Found::Nothing);
        store.keep(&kept()).unwrap();
        store.keep(&kept()).unwrap();
        assert_eq!(
            store.find(&board("s1")).unwrap(),
            Found::Own(Box::new(kept()))
        );
        assert_eq!(
            (mode(&folder), mode(&folder.join(IDENTITY))),
            (0o700, 0o600)
        );
    }

    #[test]
    fn on_another_board_the_key_is_gone_before_anybody_can_use_it() {
        let root = tempfile::tempdir().unwrap();
        let store = KeyStore::open(root.path()).unwrap();
        store.keep(&kept()).unwrap();
        let want = Found::OtherBoard {
            machine: NodeId(7),
            controllers: kept().controllers,
        };
        assert_eq!(store.find(&board("s2")).unwrap(), want);
        assert!(!root.path().join(IDENTITY).exists());
        assert_eq!(store.find(&board("s1")).unwrap(), Found::Nothing);
    }

    #[test]
    fn a_half_written_file_changes_nothing_and_a_damaged_one_is_named() {
        let root = tempfile::tempdir().unwrap();
        let store = KeyStore::open(root.path()).unwrap();
        store.keep(&kept()).unwrap();
        fs::write(root.path().join("identity.new"), "{").unwrap();
        assert!(matches!(store.find(&board("s1")), Ok(Found::Own(_))));
        store.keep(&kept()).unwrap();
        fs::write(root.path().join(IDENTITY), "{").unwrap();
        let error = store.find(&board("s1")).unwrap_err();
        assert!(error.to_string().contains("identity.json"), "{error}");
    }

    #[test]
    fn two_agents_do_not_share_a_key() {
        let root = tempfile::tempdir().unwrap();
        let first = KeyStore::open(root.path()).unwrap();
        assert!(matches!(
            KeyStore::open(root.path()),
            Err(KeyStoreError::Busy(_))
        ));
        drop(first);
        assert!(KeyStore::open(root.path()).is_ok());
    }

    #[test]
    fn a_join_waits_until_it_is_done_and_its_token_is_not_shown() {
        let root = tempfile::tempdir().unwrap();
        let store = KeyStore::open(root.path()).unwrap();
        let join = Join {
            token: Some(Secret::new("enforcer-secret")),
            controllers: kept().controllers,
        };
        store.keep_join(&join).unwrap();
        let read = store.join().unwrap().unwrap();
        assert_eq!(read, join);
        assert!(!format!("{read:?}").contains("enforcer-secret"));
        assert_eq!(mode(&root.path().join(JOIN)), 0o600);
        store.forget_join().unwrap();
        assert_eq!(store.join().unwrap(), None);
    }
}
