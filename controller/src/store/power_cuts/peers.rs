//! What sites owe each other, through power cuts: invitations, grants and evidence. A controller is asked for one after the other;
//! after each cut its store holds exactly what was acknowledged, or that and the one that was under way: whole, and in one piece.

use std::collections::BTreeMap;

use mesh_proto::message::peer::{BASE, ClosedBy, Evidence, Grant, GrantedFile, Outcome};

use super::*;
use crate::{
    state::{
        Record,
        activation::Kind,
        boot::BootRequest,
        config::{Asset, BootConfig, Evidence as ClosedOn, Program},
        event::Event,
        ops::{
            Activate, AdmitPeer, AllowPeer, Callback, GrantBoot, Invite, MachineRef,
            RegisterMachine, RevokePeer, SetConfig, SiteCard, TakeEvidence, TakeGrant,
            Told as TakenNote,
        },
        peer::{Peers, SiteName, Trail},
        trust::{Digest, token::TokenId},
    },
    store::{Clock as _, ManualClock},
};

/// Sites, machines and invitations that there are.
const SITES: u8 = 3;
const MACHINES: u8 = 2;
const INVITATIONS: u32 = 4;

/// A controller and what its store ought to hold.
struct Ledger {
    clock: ManualClock,
    /// After the last transition that was acknowledged.
    kept: View,
    /// After the one that was under way when the power went.
    perhaps: Option<View>,
    nonces: u64,
    /// How often each of them was acknowledged and changed something.
    done: BTreeMap<&'static str, u32>,
}

/// What a transition makes of a view.
fn after<T: Transition>(transition: &T, view: &View, now: Timestamp) -> View {
    let mut next = view.clone();
    let (Changes { writes, events }, _) = transition.run(view, now);
    writes.iter().for_each(|write| next.absorb(write));
    for draft in events {
        let seq = next.next_event();
        let event = Event {
            seq,
            at: now,
            draft,
        };
        next.absorb(&Record::Event(event.into()).into());
    }
    next
}

fn site(n: u8) -> SiteName {
    format!("site-{n}").parse().unwrap()
}

fn card(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 1, n])
}

/// Asks a writer; whether that was acknowledged.
fn ask<T: Transition>(writer: &mut Writer, transition: T) -> bool {
    let (reply, mut answer) = oneshot::channel();
    writer.run(vec![Box::new(Asked::new(transition, reply))], false);
    answer.try_recv().unwrap().is_ok()
}

impl Ledger {
    /// What a controller that starts has to hold.
    fn check(&mut self, found: &View) -> Result<(), String> {
        let whole = *found == self.kept;
        let perhaps = self.perhaps.take();
        match perhaps.filter(|p| found == p) {
            Some(perhaps) => self.kept = perhaps,
            None if whole => {}
            None => return Err("neither what was acknowledged nor one more".to_owned()),
        }
        Ok(())
    }

    /// Asks for one thing; `false` when the power went.
    fn does<T: Transition + Clone>(
        &mut self,
        writer: &mut Writer,
        what: &'static str,
        transition: T,
    ) -> bool {
        let next = after(&transition, &self.kept, self.clock.now());
        let changed = next != self.kept;
        if !ask(writer, transition) {
            self.perhaps = Some(next);
            return false;
        }
        *self.done.entry(what).or_default() += u32::from(changed);
        self.kept = next;
        true
    }

    /// What there is before anybody comes.
    fn furnish(&mut self, writer: &mut Writer) -> bool {
        (0..MACHINES).all(|n| {
            let register = RegisterMachine {
                mac: card(n),
                name: Some(format!("web{n}").parse().unwrap()),
                fresh_id: MachineId::from_random(n.into()),
            };
            self.does(writer, "register", register)
        }) && self.does(writer, "config", SetConfig(config()))
    }

    /// One thing that happens between sites, drawn by lot.
    fn step(&mut self, writer: &mut Writer, dice: &mut StdRng) -> bool {
        self.clock
            .advance(std::time::Duration::from_secs(dice.random_range(0..600)));
        let from = site(dice.random_range(0..SITES));
        let machine = dice.random_range(0..MACHINES);
        let invitation = TokenId::from_random(dice.random_range(0..INVITATIONS));
        match dice.random_range(0..10) {
            0 => {
                let invite = Invite {
                    id: invitation,
                    secret_sha256: Digest::of(b"secret"),
                    by: "ann".to_owned(),
                };
                self.does(writer, "invite", invite)
            }
            1 | 2 => self.does(writer, "admit", admits(invitation, &from)),
            3 => self.does(writer, "allow", allows(from)),
            4 => {
                let activate = Activate {
                    machine: MachineRef(format!("web{machine}")),
                    config: "live".parse().unwrap(),
                    kind: Kind::OneShot,
                    until: None,
                    nonce: self.nonce(),
                };
                self.does(writer, "activate", activate)
            }
            5 | 6 => {
                let site = from;
                let request = question(machine, dice.random_range(0..4));
                self.does(writer, "grant", GrantBoot { site, request })
            }
            7 if dice.random_bool(0.3) => {
                let nonce = self.some_nonce(dice).parse().unwrap();
                let failure = None;
                self.does(writer, "callback", Callback { nonce, failure })
            }
            7 => {
                let outcome = [Outcome::Confirmed, Outcome::Failed, Outcome::Released];
                let nonce = self.some_nonce(dice);
                let evidence = Evidence {
                    nonce,
                    outcome: outcome[dice.random_range(0..3)],
                    reason: "as it said".to_owned(),
                };
                let site = from;
                self.does(writer, "evidence", TakeEvidence { site, evidence })
            }
            8 => {
                let take = TakeGrant {
                    site: from,
                    mac: MacAddr([2, 0, 0, 0, 2, machine]),
                    grant: granted(&self.nonce()),
                    fresh_id: MachineId::from_random(dice.random()),
                };
                self.does(writer, "take", take)
            }
            _ if dice.random_bool(0.2) => {
                let by = "ann".to_owned();
                self.does(writer, "revoke", RevokePeer { site: from, by })
            }
            _ => {
                let told = self.kept.outgoing().next().map(|o| o.nonce.clone());
                told.is_none_or(|nonce| self.does(writer, "told", TakenNote(nonce)))
            }
        }
    }

    fn nonce(&mut self) -> Nonce {
        self.nonces += 1;
        Nonce::from_random(self.nonces.into())
    }

    /// Of an activation that there was once, or of none.
    fn some_nonce(&self, dice: &mut StdRng) -> String {
        let some = dice.random_range(0..=self.nonces);
        Nonce::from_random(some.into()).to_string()
    }
}

fn admits(invitation: TokenId, site: &SiteName) -> AdmitPeer {
    AdmitPeer {
        invitation,
        shown: Digest::of(b"secret"),
        card: SiteCard {
            site: site.clone(),
            ca: format!("CA of {site}"),
            ca_sha256: Digest::of(site.as_str().as_bytes()),
            addresses: vec!["192.0.2.9:4848".parse().unwrap()],
        },
    }
}

/// All that a site may, of all machines.
fn allows(site: SiteName) -> AllowPeer {
    AllowPeer {
        site,
        may_ask: Some(vec!["!spare".parse().unwrap()]),
        may_boot: None,
        may_boot_unknown: Some(true),
        may_see: None,
        gives_images: None,
        by: "ann".to_owned(),
    }
}

fn question(machine: u8, session: u8) -> BootRequest {
    BootRequest {
        mac: card(machine),
        arch: None,
        session: Some(format!("s{session}")),
        after_management: true,
        base: BASE.to_owned(),
        known_address: None,
        controller: None,
        peers: Peers::Ask(Trail::default()),
    }
}

fn config() -> BootConfig {
    let kernel = Asset::kept("vmlinuz", &"ab".repeat(32), 4);
    let program = Program::Kernel {
        kernel,
        initrds: Vec::new(),
        cmdline: "quiet".to_owned(),
    };
    let name = "live".parse().unwrap();
    BootConfig::new(name, program, BTreeMap::new(), ClosedOn::Callback)
}

/// What another site grants us.
fn granted(nonce: &Nonce) -> Grant {
    Grant {
        nonce: nonce.to_string(),
        config: "theirs".to_owned(),
        standing: false,
        writes_disk: false,
        closed_by: ClosedBy::Callback,
        files: vec![GrantedFile {
            name: "vmlinuz".to_owned(),
            sha256: "cd".repeat(32),
            size: 4,
        }],
        cmdline: "quiet".to_owned(),
        answers: Vec::new(),
        lives_s: 600,
    }
}

fn open_at(disk: &Disk, clock: &ManualClock) -> Result<Writer, StoreError> {
    let disk = disk.clone();
    let redb = Redb::on("a pretend disk", move || disk.clone())?;
    Writer::open(Box::new(redb), Policy::default(), Box::new(clock.clone()))
}

/// Lives through [`CUTS_PER_LIFE`] power cuts; what was done meanwhile.
fn lived(seed: u64, sync_lies: bool) -> Result<BTreeMap<&'static str, u32>, String> {
    let mut dice = StdRng::seed_from_u64(seed);
    let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
    let mut ledger = Ledger {
        clock: clock.clone(),
        kept: View::default(),
        perhaps: None,
        nonces: 0,
        done: BTreeMap::new(),
    };
    let (mut disk, mut made) = (Disk::default(), false);
    for _ in 0..CUTS_PER_LIFE {
        disk.set_faults(Faults {
            sync_lies,
            power_for: Some(dice.random_range(1..LONGEST)),
            ..Faults::default()
        });
        match open_at(&disk, &clock) {
            Ok(mut writer) => {
                made = true;
                ledger.check(&writer.shared().view.load())?;
                let furnished = ledger.kept.machines().next().is_some();
                let mut on = furnished || ledger.furnish(&mut writer);
                while on && !disk.is_dark() {
                    on = ledger.step(&mut writer, &mut dice);
                }
            }
            Err(_) if disk.is_dark() => {}
            Err(error) => return Err(error.to_string()),
        }
        disk = match made {
            true => disk.after_power_cut(&mut dice),
            false => Disk::default(),
        };
    }
    let last = open_at(&disk, &clock).map_err(|e| e.to_string())?;
    ledger.check(&last.shared().view.load())?;
    Ok(ledger.done)
}

#[test]
fn power_cuts_lose_and_halve_no_invitation_no_grant_and_no_evidence() {
    let mut all = BTreeMap::new();
    for seed in 0..25 {
        let done = lived(seed, false).unwrap_or_else(|loss| panic!("life {seed}: {loss}"));
        for (what, count) in done {
            *all.entry(what).or_insert(0) += count;
        }
    }
    println!("{all:?}");
    // Nothing is proved of what never happened.
    for what in [
        "invite", "admit", "allow", "activate", "grant", "evidence", "take", "revoke", "told",
    ] {
        assert!(
            all.get(what).is_some_and(|count| *count >= 5),
            "{what}: {all:?}"
        );
    }
}

#[test]
fn a_disk_that_lies_loses_what_sites_owe_each_other_and_that_is_seen() {
    let lies = |seed| catch_unwind(AssertUnwindSafe(|| lived(seed, true)));
    let caught = (0..10)
        .filter(|seed| !matches!(lies(*seed), Ok(Ok(_))))
        .count();
    assert!(caught >= 9, "only {caught} of 10 were caught");
}
