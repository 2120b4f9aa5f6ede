//! What people do in these stories, and what they look at.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    lab::{Machine, Space, marker, re, wait_until},
    site::{READY_LIMIT, Site},
};
use serde_json::Value;

/// Only a failing story waits so long: two emulated machines write, read back and restart.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);
/// Where the partition table lies in a disk's first sector: an edit changes it.
const TABLE: std::ops::Range<usize> = 446..510;

/// A disk with a system of its own, large enough for the images of these stories.
pub(crate) fn own_disk(space: &Space) -> Result<PathBuf> {
    let own = space.folder().file("own.img");
    marker::write(&own, "own")?;
    fs::File::options()
        .write(true)
        .open(&own)?
        .set_len(64 << 20)?;
    Ok(own)
}

/// `enforcer images push`, as a new version of `name`.
pub(crate) fn push(site: &Site, image: &Path, name: &str) -> Result<()> {
    let image = image.to_str().context("a path")?;
    site.enforcer(&["images", "push", image, name]).map(drop)
}

/// `enforcer deploy`; the deployment's number.
pub(crate) fn deploy(site: &Site, mac: &str, image: &str, more: &[&str]) -> Result<u64> {
    let asked = [&["deploy", mac, image][..], more].concat();
    let made = site.json(&asked)?;
    let id = &made[0]["id"];
    id.as_u64().with_context(|| format!("a number: {made}"))
}

/// A deployment as it stands now.
pub(crate) fn shown(site: &Site, id: u64) -> Result<Value> {
    site.get(&format!("/api/v1/deployments/{id}"))
}

/// Waits until a deployment is as wanted; how it then stands.
pub(crate) fn wait(
    site: &Site,
    id: u64,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let found = wait_until(&format!("deployment {id} {what}"), LIMIT, || {
        let shown = shown(site, id)?;
        Ok(wanted(&shown).then_some(shown))
    });
    found.with_context(|| {
        let id = id.to_string();
        site.enforcer(&["deployments", "show", &id])
            .unwrap_or_default()
    })
}

/// Waits until a deployment is over; how it ended.
pub(crate) fn over(site: &Site, id: u64) -> Result<Value> {
    wait(site, id, "to be over", |shown| shown["open"] == false)
}

/// Waits until a deployment is over, which has to be because its new system is online; what is known of it.
pub(crate) fn online(site: &Site, id: u64) -> Result<Value> {
    let end = over(site, id)?;
    ensure!(end["state"] == "online", "deployment {id}: {end:#}");
    Ok(end)
}

/// Waits for the management OS, and compares the code on the machine's screen.
pub(crate) fn prove(site: &Site, machine: &mut Machine) -> Result<()> {
    let mac = machine.mac();
    machine
        .serial()?
        .expect(re("ENFORCER READY"), READY_LIMIT)?;
    let shown = machine.expect(re(r"ENFORCER CODE (\d{4}-\d{4})"))?;
    let code = shown.groups.first().context("a code")?;
    site.wait_alive(&mac)?;
    site.enforcer(&["machines", "accept", &mac, "--code", code])?;
    ensure!(site.machine(&mac)?["level"] == "t2", "compared in person");
    Ok(())
}

/// Nothing of ours restarts a system without an agent: the job says so, a person presses the button, and, as user-data may
/// hold secrets and each boot has a key of its own, compares the code once more.
pub(crate) fn press_reset(site: &Site, machine: &mut Machine, id: u64) -> Result<()> {
    wait(site, id, "to wait for a person", |shown| {
        let next = shown["next"].as_str();
        next.is_some_and(|next| next.contains("press reset"))
    })?;
    machine.reset()?;
    prove(site, machine)
}

/// The disk holds the image, but for its table of partitions; edits lie behind the image's end.
pub(crate) fn holds(disk: &Path, image: &Path) -> Result<()> {
    let (disk, image) = (fs::read(disk)?, fs::read(image)?);
    let differs = |at: &usize| disk[*at] != image[*at] && !TABLE.contains(at);
    let first = (0..image.len()).find(differs);
    ensure!(first.is_none(), "the disk differs at byte {first:?}");
    Ok(())
}

/// Both at the same time, as two people at two machines; the first failure counts.
pub(crate) fn both<A: Send, B: Send>(
    one: impl FnOnce() -> Result<A> + Send,
    other: impl FnOnce() -> Result<B> + Send,
) -> Result<(A, B)> {
    thread::scope(|scope| {
        let other = scope.spawn(other);
        let one = one();
        let other = other.join();
        let other = other.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((one?, other?))
    })
}
