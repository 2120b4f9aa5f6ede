//! What a person can do about a folder that cannot be used.

use std::io;

/// The cure for a failed file operation in the state folder, as the second half of a sentence.
pub(crate) fn cure(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => {
            "its disk is full: make room on it and start again"
        }
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => {
            "run enforcer as the owner of that folder, mount it read-write, or name another with --state"
        }
        Kind::NotFound | Kind::NotADirectory | Kind::AlreadyExists => {
            "no folder can be made there: name another with --state"
        }
        _ => "look into the kernel's log for faults of its disk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_read_only_one_have_different_cures() {
        let told = |kind| cure(&io::Error::from(kind));
        assert!(told(io::ErrorKind::StorageFull).contains("make room"));
        assert!(told(io::ErrorKind::ReadOnlyFilesystem).contains("read-write"));
        assert!(told(io::ErrorKind::NotADirectory).contains("--state"));
    }
}
