//! The socket file: where it is, who may open it, what to do with one that is there already.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixStream as StdStream,
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

use crate::config::default_api_socket;

/// Read and write for the owner and the group: connecting needs write permission.
const MODE: u32 = 0o660;

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody answers there.
    #[error(
        "another Enforcer already serves {}; stop it first, or give this one its own --api-socket",
        path.display()
    )]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// Something that is no socket is there.
    #[error("{} is not a socket; remove it, or choose another --api-socket", path.display())]
    NotASocket {
        /// Where.
        path: PathBuf,
    },
    /// It cannot be made.
    #[error("cannot make the API socket {}; choose a writable place with --api-socket", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
}

/// The system's controller, which people who are not root may operate too.
const SYSTEM: &str = "/run/enforcer/api.sock";

/// Where the command line looks when nobody says otherwise: at one's own controller, else the system's.
#[must_use]
pub fn find() -> PathBuf {
    choose(default_api_socket(), SYSTEM.into(), Path::exists)
}

fn choose(own: PathBuf, system: PathBuf, exists: impl Fn(&Path) -> bool) -> PathBuf {
    if !exists(&own) && exists(&system) {
        system
    } else {
        own
    }
}

/// Binds the socket with mode 0660 and, when there is one, the group `gid`. A dead one is replaced.
pub fn bind(path: &Path, gid: Option<u32>) -> Result<UnixListener, SocketError> {
    let failed = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    clear(path)?;
    let listener = UnixListener::bind(path).map_err(failed)?;
    // Until the mode is set the process's umask rules; the peer check at each connection does not depend on either.
    fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(failed)?;
    if let Some(gid) = gid
        && let Err(error) = std::os::unix::fs::chown(path, None, Some(gid))
    {
        // Not root and not a member: then the socket is for its owner only.
        tracing::debug!(%error, "the API socket keeps its group");
    }
    Ok(listener)
}

/// Removes a socket that nobody serves any more.
fn clear(path: &Path) -> Result<(), SocketError> {
    let path_owned = || path.to_owned();
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(SocketError::Io {
                path: path_owned(),
                source,
            });
        }
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(SocketError::NotASocket { path: path_owned() });
        }
        Ok(_) => {}
    }
    match StdStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|source| SocketError::Io {
                path: path_owned(),
                source,
            })
        }
        Ok(_) => Err(SocketError::InUse { path: path_owned() }),
        Err(source) => Err(SocketError::Io {
            path: path_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_find_the_controller_that_runs() {
        let (system, own) = (PathBuf::from("/run/e"), PathBuf::from("/run/user/7/e"));
        let chosen = |there: &[&PathBuf]| {
            choose(own.clone(), system.clone(), |p| {
                there.iter().any(|t| *t == p)
            })
        };
        assert_eq!(chosen(&[&own, &system]), own);
        assert_eq!(chosen(&[&system]), system);
        assert_eq!(chosen(&[]), own);
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/api.sock");
        let live = bind(&path, None).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            MODE
        );
        assert!(matches!(bind(&path, None), Err(SocketError::InUse { .. })));
        drop(live);
        bind(&path, None).unwrap();
    }

    #[tokio::test]
    async fn a_file_of_somebody_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(
            bind(&path, None),
            Err(SocketError::NotASocket { .. })
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
