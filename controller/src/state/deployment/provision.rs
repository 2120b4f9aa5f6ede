//! The files a new system is given: what a person wrote, and what makes it speak.
//!
//! cloud-init reads a `cidata` partition only when it has `user-data` and `meta-data`; `vendor-data` is what the site adds,
//! and a person's own files are never changed.

use mesh_proto::message::{
    enrol::{JOIN_FILE, Join},
    job::ProvisionFile,
};

use super::{Deployment, Part, Until, queue};
use crate::state::{View, machine::Machine, name::is_plain_name};

/// Files one deployment may give.
pub const MAX_FILES: usize = 16;
/// Bytes of all of them: a `cidata` partition is small, and the store keeps them.
pub const MAX_BYTES: usize = 256 << 10;

fn file(name: &str, text: String) -> ProvisionFile {
    ProvisionFile {
        name: name.to_owned(),
        text,
    }
}

/// The file by which the new system's agent joins.
#[must_use]
pub fn join(join: &Join) -> ProvisionFile {
    let text = serde_json::to_string_pretty(join).expect("texts and addresses are JSON");
    file(JOIN_FILE, text)
}

/// The files as the agent writes them; `base` is how the machine reaches us, `http://host:port`.
#[must_use]
pub fn files(view: &View, job: &Deployment, machine: &Machine, base: &str) -> Vec<ProvisionFile> {
    let mut files = job.order.provision.clone();
    if files.is_empty() {
        // Without a person's word cloud-init is not woken.
        return files;
    }
    let has = |files: &[ProvisionFile], name: &str| files.iter().any(|f| f.name == name);
    if !has(&files, "meta-data") {
        // A new instance per deployment: cloud-init then runs again, also on a disk that it knows.
        let text = format!(
            "instance-id: enforcer-{}\nlocal-hostname: {}\n",
            job.id, machine.name
        );
        files.push(file("meta-data", text));
    }
    if !has(&files, "user-data") {
        files.push(file("user-data", "#cloud-config\n{}\n".to_owned()));
    }
    if let Some(speaker) = speaks_for(view, job).filter(|_| !has(&files, "vendor-data")) {
        let text = format!(
            "#cloud-config\nphone_home:\n  url: {base}/boot/n/{}/online\n  post: []\n  tries: 20\n",
            speaker.nonce
        );
        files.push(file("vendor-data", text));
    }
    files
}

/// Whose evidence the new system's phone-home is: of a setup, the last part's.
fn speaks_for<'a>(view: &'a View, job: &'a Deployment) -> Option<&'a Deployment> {
    let last = match &job.part {
        Some(Part::Setup { .. }) => {
            let parts = queue::run_of(view, job);
            parts.last().copied().map_or(job, |d| d)
        }
        Some(Part::Rollout { .. } | Part::RollBack { .. }) | None => job,
    };
    match last.order.until {
        Until::Online { .. } => Some(last),
        Until::HandedOver => None,
    }
}

/// Whether a name may stand in a `cidata` partition: it is a file name of FAT's and nothing more.
#[must_use]
pub fn is_file_name(name: &str) -> bool {
    is_plain_name(name)
}
