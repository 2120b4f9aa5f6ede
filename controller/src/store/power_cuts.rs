//! Simulated power cuts: whatever happens to unsynced sectors, no acknowledged transition is lost and none is kept by half.
//! The negative control, a disk that lies about syncing, shows that these tests would see a loss.

mod peers;

use std::panic::{AssertUnwindSafe, catch_unwind};

use ipxe::MacAddr;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::sync::oneshot;

use super::{
    Redb, StoreError, SystemClock,
    fault::{Disk, Faults},
    job::{Asked, Job},
    records,
    writer::Writer,
};
use crate::state::{
    Changes, Timestamp, Transition, View,
    activation::Nonce,
    deployment::{Deployment, DeploymentId},
    lease::Reservation,
    machine::{Machine, MachineId},
    policy::Policy,
};

/// Cuts that one disk lives through, one after the other.
const CUTS_PER_LIFE: u32 = 20;
/// Things that are counted.
const KEYS: u8 = 5;
/// Writes and syncs until the power goes, at most: a dozen commits, or the whole making of a database.
const LONGEST: u32 = 150;

/// Adds one to a number, in five tables.
struct Count(u8);

impl Transition for Count {
    type Outcome = u32;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, u32) {
        let next = read(view, self.0)[0] + 1;
        let mac = MacAddr([2, 0, 0, 0, 0, self.0]);
        let mut machine = Machine::seen(MachineId::from_random(self.0.into()), mac, now);
        machine.serial = Some(next.to_string());
        // Long enough, now and then, to be spread over several pages.
        machine.uuid = Some("x".repeat(next as usize % 7 * 1_000));
        let ip = [10, 0, 0, self.0].into();
        let hostname = Some(next.to_string());
        let mut changes = Changes::none();
        changes.write(machine);
        changes.write(Reservation { mac, ip, hostname });
        let id = MachineId::from_random(self.0.into());
        changes.write(records::member(&id, next, now));
        changes.write(records::key(
            &id,
            u128::from(self.0),
            &next.to_string(),
            now,
        ));
        let job = records::deployment(&id, next, now);
        changes.write(Deployment {
            id: DeploymentId(key_of(self.0)),
            nonce: Nonce::from_random(self.0.into()),
            ..job
        });
        (changes, next)
    }
}

/// The number of the deployment that counts `key`.
fn key_of(key: u8) -> u64 {
    100 + u64::from(key)
}

/// The number as each of the five tables has it; zero when it has none.
fn read(view: &View, key: u8) -> [u32; 5] {
    let mac = MacAddr([2, 0, 0, 0, 0, key]);
    let id = MachineId::from_random(key.into());
    let number = |text: &String| text.parse().unwrap();
    let machine = view.machine_by_mac(mac).and_then(|m| m.serial.as_ref());
    let reservation = view.reservation(mac).and_then(|r| r.hostname.as_ref());
    let enrolled = view.keys_of(&id).next().map(|k| &k.boot_id);
    [
        machine.map_or(0, number),
        reservation.map_or(0, number),
        view.member(&id).map_or(0, |m| m.generation),
        enrolled.map_or(0, number),
        view.active_deployment(&id).map_or(0, |d| d.tries),
    ]
}

/// What was told to askers, and what was asked at most.
#[derive(Default)]
struct Told([(u32, u32); KEYS as usize]);

impl Told {
    fn check(&mut self, view: &View) -> Result<(), String> {
        for (key, (acknowledged, asked)) in (0..).zip(&mut self.0) {
            let all = read(view, key);
            let found = all[0];
            if all != [found; 5] {
                return Err(format!("part of a transaction: {all:?}"));
            }
            if !(*acknowledged..=*asked).contains(&found) {
                return Err(format!("{acknowledged} acknowledged, {found} found"));
            }
            // One that was not acknowledged may have been kept.
            (*acknowledged, *asked) = (found, found);
        }
        Ok(())
    }
}

fn open(disk: &Disk) -> Result<Writer, StoreError> {
    let disk = disk.clone();
    let redb = Redb::on("a pretend disk", move || disk.clone())?;
    Writer::open(Box::new(redb), Policy::default(), Box::new(SystemClock))
}

/// Lives through [`CUTS_PER_LIFE`] power cuts.
fn life(seed: u64, sync_lies: bool) -> Result<(), String> {
    let mut dice = StdRng::seed_from_u64(seed);
    let (mut disk, mut told, mut made) = (Disk::default(), Told::default(), false);
    for _ in 0..CUTS_PER_LIFE {
        disk.set_faults(Faults {
            sync_lies,
            power_for: Some(dice.random_range(1..LONGEST)),
            ..Faults::default()
        });
        made |= until_the_power_goes(&disk, &mut told, &mut dice)?;
        disk = match made {
            true => disk.after_power_cut(&mut dice),
            // `Redb::open` makes a database under another name and drops an unfinished one.
            false => Disk::default(),
        };
    }
    let last = open(&disk).map_err(|e| e.to_string())?;
    told.check(&last.shared().view.load())
}

/// Opens the store and lets askers ask; whether it could be opened at all.
fn until_the_power_goes(disk: &Disk, told: &mut Told, dice: &mut StdRng) -> Result<bool, String> {
    let mut writer = match open(disk) {
        Ok(writer) => writer,
        Err(_) if disk.is_dark() => return Ok(false),
        Err(error) => return Err(error.to_string()),
    };
    told.check(&writer.shared().view.load())?;
    while !disk.is_dark() {
        let (mut jobs, mut askers) = (Vec::<Box<dyn Job>>::new(), Vec::new());
        for _ in 0..dice.random_range(1..5) {
            let key = dice.random_range(0..KEYS);
            let (reply, answer) = oneshot::channel();
            jobs.push(Box::new(Asked::new(Count(key), reply)));
            askers.push((key, answer));
            told.0[usize::from(key)].1 += 1;
        }
        writer.run(jobs, false);
        for (key, mut answer) in askers {
            if let Ok(number) = answer.try_recv().unwrap() {
                told.0[usize::from(key)].0 = *number.downcast().unwrap();
            }
        }
    }
    Ok(true)
}

fn no_loss(lives: std::ops::Range<u64>) {
    for seed in lives {
        if let Err(loss) = life(seed, false) {
            panic!("life {seed}: {loss}");
        }
    }
}

// 2,000 cuts, in two tests so that two cores share them.

#[test]
fn a_thousand_power_cuts_lose_no_acknowledged_transition() {
    no_loss(0..50);
}

#[test]
fn a_thousand_other_power_cuts_lose_no_acknowledged_transition() {
    no_loss(50..100);
}

#[test]
fn a_disk_that_lies_about_syncing_is_caught() {
    // Also a database that cannot be opened any more is a loss; redb's own assertions may be what says so.
    let caught = (0..20)
        .filter(|seed| {
            !matches!(
                catch_unwind(AssertUnwindSafe(|| life(*seed, true))),
                Ok(Ok(()))
            )
        })
        .count();
    assert!(caught >= 19, "only {caught} of 20 were caught");
}
