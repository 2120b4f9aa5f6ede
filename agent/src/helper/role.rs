//! The role as it was said last, kept on the disk: a helper that starts again while the controller is away goes on, for a day.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use mesh_proto::{json, message::boot::Duty};
use serde::{Deserialize, Serialize};

use super::{away::write, tick::Tick};

/// The file's name in the helper's folder.
const FILE: &str = "role.json";
/// How long a role is good without a word of the controller, seconds: as long as what can be delegated to it.
pub(super) const LIVES_S: i64 = mesh_proto::message::delegation::LIVES_S;

/// The duty, and when the controller said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    duty: Duty,
    heard: Tick,
}

/// Where it is kept.
#[derive(Debug, Clone)]
pub(super) struct Role(PathBuf);

impl Role {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self(folder.join(FILE))
    }

    /// The duty, if it is still good, and for how many seconds more.
    pub(super) fn kept(&self, now: &Tick) -> Option<(Duty, i64)> {
        let bytes = fs::read(&self.0).ok()?;
        let kept: Kept = json::from_slice(&bytes).ok()?;
        let by_clock = now.unix_s - kept.heard.unix_s;
        let age = now.since(&kept.heard).held_s.unwrap_or(by_clock);
        let left = LIVES_S - age;
        // A clock before the controller's last word says nothing about how long ago that was.
        (age >= 0 && left > 0).then_some((kept.duty, left))
    }

    /// Whether the controller gave a role and did not take it away, good or not.
    pub(super) fn is_written(&self) -> bool {
        self.0.is_file()
    }

    /// Writes down what the controller says now.
    ///
    /// # Errors
    /// As the disk fails.
    pub(super) fn keep(&self, duty: Option<&Duty>, heard: Tick) -> io::Result<()> {
        let Some(duty) = duty else {
            return match fs::remove_file(&self.0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            };
        };
        if let Some(folder) = self.0.parent() {
            fs::create_dir_all(folder)?;
        }
        let kept = Kept {
            duty: duty.clone(),
            heard,
        };
        write(&self.0, &serde_json::to_vec(&kept)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(unix_s: i64, boot: &str, up_s: i64) -> Tick {
        Tick {
            unix_s,
            boot: boot.to_owned(),
            up_s,
        }
    }

    #[test]
    fn a_role_is_kept_for_a_day_by_the_time_that_can_be_believed() {
        let folder = tempfile::tempdir().unwrap();
        let role = Role::in_folder(&folder.path().join("helper"));
        assert_eq!(role.kept(&tick(0, "a", 0)), None);
        let duty = Duty {
            interfaces: vec!["eth1".into()],
        };
        let heard = tick(1_000_000, "a", 500);
        assert!(!role.is_written());
        role.keep(Some(&duty), heard).unwrap();
        assert!(role.is_written());
        for (now, left) in [
            (tick(1_000_100, "a", 600), Some(LIVES_S - 100)),
            // The clock was set; the computer's own count goes on.
            (tick(0, "a", 600), Some(LIVES_S - 100)),
            (tick(1_000_100, "a", 500 + LIVES_S), None),
            (tick(1_000_100, "b", 5), Some(LIVES_S - 100)),
            (tick(1_000_000 + LIVES_S, "b", 5), None),
            (tick(0, "b", 5), None),
        ] {
            let expected = left.map(|left| (duty.clone(), left));
            assert_eq!(role.kept(&now), expected, "{now:?}");
        }
        role.keep(None, tick(0, "a", 0)).unwrap();
        role.keep(None, tick(0, "a", 0)).unwrap();
        assert_eq!(role.kept(&tick(1_000_100, "a", 600)), None);
    }
}
