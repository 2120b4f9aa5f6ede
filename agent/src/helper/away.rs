//! What a helper answers by itself: what was delegated to it, as long as that is good, and the ledgers of what it serves once.
//!
//! Files in its folder: the delegation with its signature, the ledgers, and which boot programs there are. Each is written
//! beside its place and moved there, so that it is whole after a crash.

mod once;

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipxe::{BootPlan, LocalBoot, MacAddr, PxeClient, Surroundings};
use ipxe_net::BootOffer;
use mesh_net::LinkIdentity;
use mesh_proto::json;
use mesh_proto::message::{
    boot::{Program, StoredFile},
    delegation::{BASE, Delegated, Delegation, Moment, Signed, ledger::Ledger},
};
use serde::{Deserialize, Serialize};

pub(super) use self::once::Fetched;
use super::{WRITTEN_AGAIN_S, tick::Tick};

/// The files' names.
const FILE: &str = "delegation.json";
const LEDGERS: &str = "ledgers.json";
const PROGRAMS: &str = "programs.json";
/// What a boot script fetches last, to say that it has all files.
const LOADED: &str = "loaded";

/// A delegation as it is kept, with the moment at which it came.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    signed: Signed,
    came: Tick,
}

/// The delegation that is used.
#[derive(Debug)]
struct Held {
    all: Delegation,
    came: Tick,
}

impl Held {
    /// Whether it says the same as a newer one and is not much older: an SD card is not written each minute.
    fn covers(&self, newer: &Delegation, came: &Tick) -> bool {
        let same = Delegation {
            issued_unix_s: newer.issued_unix_s,
            ..self.all.clone()
        };
        let held = came.since(&self.came).held_s;
        same == *newer && held.is_some_and(|s| s < WRITTEN_AGAIN_S)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Away {
    folder: PathBuf,
    tick: fn() -> Tick,
    held: Mutex<Option<Arc<Held>>>,
    /// The one on the disk, once this process wrote one.
    written: Mutex<Option<Held>>,
    /// By nonce. Locked while they are written: one step after the other.
    ledgers: Mutex<BTreeMap<String, Ledger>>,
}

/// A file of a config.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AwayFile {
    /// By content.
    Stored(StoredFile),
    /// A text.
    Text(String),
}

impl Away {
    /// With what was kept, if that is still this helper's: signed by its site, for its node.
    ///
    /// # Errors
    /// When ledgers are there that cannot be read: without them nothing is known of what was served.
    pub(super) fn open(folder: &Path, own: &LinkIdentity, tick: fn() -> Tick) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let kept = fs::read(folder.join(FILE)).ok();
        let kept = kept.and_then(|bytes| json::from_slice::<Kept>(&bytes).ok());
        let held = kept.and_then(|kept| {
            let all = read(&kept.signed, own)?;
            Some(Arc::new(Held {
                all,
                came: kept.came,
            }))
        });
        let ledgers = match fs::read(folder.join(LEDGERS)) {
            Ok(bytes) => json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            folder: folder.to_owned(),
            tick,
            held: Mutex::new(held),
            written: Mutex::default(),
            ledgers: Mutex::new(ledgers),
        })
    }

    /// Takes a newer one in; it is on the disk when this returns. Nothing that is not this helper's is taken. Ledgers of what
    /// is not in it any more go: the controller, which was told everything, says by that that they are over.
    pub(super) fn take(&self, signed: &Signed, own: &LinkIdentity) -> io::Result<Vec<StoredFile>> {
        let forged =
            || io::Error::other("a delegation that this site did not sign for this helper");
        let all = read(signed, own).ok_or_else(forged)?;
        let kept = Kept {
            signed: signed.clone(),
            came: (self.tick)(),
        };
        let mut ledgers = lock(&self.ledgers);
        let mut written = lock(&self.written);
        let is_news = written.as_ref().is_none_or(|w| !w.covers(&all, &kept.came));
        if is_news {
            write(&self.folder.join(FILE), &serde_json::to_vec(&kept)?)?;
            *written = Some(Held {
                all: all.clone(),
                came: kept.came.clone(),
            });
        }
        let before = ledgers.len();
        ledgers.retain(|nonce, _| all.boots().any(|b| b.nonce == *nonce));
        if ledgers.len() != before {
            write(&self.folder.join(LEDGERS), &serde_json::to_vec(&*ledgers)?)?;
        }
        let files = all.files().cloned().collect();
        *lock(&self.held) = Some(Arc::new(Held {
            all,
            came: kept.came,
        }));
        Ok(files)
    }

    /// Nothing is this helper's to serve any more.
    pub(super) fn forget(folder: &Path) {
        for file in [FILE, PROGRAMS] {
            let _was_not_there = fs::remove_file(folder.join(file));
        }
    }

    /// Remembers which boot programs there are.
    pub(super) fn keep_programs(&self, programs: &[Program]) -> io::Result<()> {
        if self.kept_programs() == programs {
            return Ok(());
        }
        write(&self.folder.join(PROGRAMS), &serde_json::to_vec(programs)?)
    }

    /// The boot programs there were last.
    pub(super) fn kept_programs(&self) -> Vec<Program> {
        let kept = fs::read(self.folder.join(PROGRAMS)).ok();
        let kept = kept.and_then(|bytes| json::from_slice(&bytes).ok());
        kept.unwrap_or_default()
    }

    /// What a DHCP client is offered, and how many steps another's offer is listened for before.
    pub(super) fn offer(&self, client: &PxeClient) -> (BootOffer, u32) {
        let silent = (BootOffer::Silent, 0);
        let Some((held, at)) = self.held() else {
            return silent;
        };
        let Some(machine) = held.all.machine(&client.mac.to_string(), at) else {
            return silent;
        };
        let steps = u32::from(machine.rank) + 1;
        if client.ipxe {
            return (BootOffer::Script, steps);
        }
        match held.all.programs.get(&client.firmware.describe()) {
            Some(program) => (BootOffer::Firmware(program.clone()), steps),
            None => silent,
        }
    }

    /// The script that a machine gets while the controller is away, its files at `base`; one that is served once is not in
    /// question here.
    pub(super) fn script(&self, mac: MacAddr, base: &str) -> String {
        let held = self.held();
        let found = held.as_ref().and_then(|(held, at)| {
            let machine = held.all.machine(&mac.to_string(), *at)?;
            Some((held, machine, *at))
        });
        let Some((held, machine, at)) = found else {
            return own_disk(None, base);
        };
        match held.all.boot(machine, at) {
            Some(boot) if boot.once.is_none() => boot.script.replace(BASE, base),
            Some(_) | None => own_disk(Some(machine), base),
        }
    }

    /// A file of a standing config.
    pub(super) fn file(&self, nonce: &str, name: &str, base: &str) -> Option<AwayFile> {
        let (held, at) = self.held()?;
        let boot = held.all.by_nonce(nonce, at)?;
        boot.once.is_none().then(|| file_of(boot, name, base))?
    }

    fn held(&self) -> Option<(Arc<Held>, Moment)> {
        let held = lock(&self.held).clone()?;
        let at = (self.tick)().since(&held.came);
        held.all.check(at).ok().map(|()| (held, at))
    }
}

fn file_of(
    boot: &mesh_proto::message::delegation::DelegatedBoot,
    name: &str,
    base: &str,
) -> Option<AwayFile> {
    if let Some(text) = boot.texts.get(name) {
        return Some(AwayFile::Text(text.replace(BASE, base)));
    }
    if name == LOADED {
        return Some(AwayFile::Text("ok\n".to_owned()));
    }
    let file = boot.files.iter().find(|f| f.name == name)?;
    Some(AwayFile::Stored(file.file.clone()))
}

/// The script that sends a machine to its own disk.
fn own_disk(machine: Option<&Delegated>, base: &str) -> String {
    let word = machine.map(|m| serde_json::Value::from(m.local.as_str()));
    let local = word.and_then(|word| serde_json::from_value::<LocalBoot>(word).ok());
    let local = local.unwrap_or_default();
    let around = Surroundings {
        base,
        machine: machine.map_or("", |m| &m.name),
        local,
    };
    ipxe::render(&BootPlan::LocalDisk(local), around)
}

fn read(signed: &Signed, own: &LinkIdentity) -> Option<Delegation> {
    let ours = own.site_signed(signed.text.as_bytes(), &signed.signature);
    ours.then(|| Delegation::read(&signed.text, own.own.node).ok())
        .flatten()
}

/// A new file beside the old one, to the disk, then in its place.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = fs::File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
