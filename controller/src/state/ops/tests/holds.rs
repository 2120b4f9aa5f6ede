//! Reservations of machines: one has the machine, others keep off, and it ends by itself.

use super::*;
use crate::state::{
    hold::Hold,
    user::{Asker, UserName},
};

impl World {
    pub(super) fn reserves(
        &mut self,
        by: &str,
        holder: &str,
        hours: i64,
    ) -> Result<Machine, HoldError> {
        let until = self.now + SignedDuration::from_hours(hours);
        self.does(&ReserveMachine {
            machine: MachineRef("web1".to_owned()),
            holder: holder.parse().unwrap(),
            until,
            by: by.to_owned(),
        })
    }

    fn inspects(&mut self, caller: &str) -> Result<Machine, Held> {
        let machine = MachineRef("web1".to_owned());
        let asked = OnMachine {
            machine: machine.clone(),
            caller: caller.to_owned(),
            wants: InspectMachine(machine),
        };
        self.does(&asked).map(Result::unwrap)
    }

    fn hold(&self) -> Option<Hold> {
        self.machine(1).hold
    }
}

#[test]
fn a_reserved_machine_is_the_holders_until_its_time_is_over() {
    let mut world = World::new();
    world.registered(1);
    world.inspects("local:bob").unwrap();
    world.reserves("local:root", "ann", 2).unwrap();
    let refused = world.inspects("local:bob").unwrap_err().to_string();
    assert!(
        refused.starts_with("web1 is reserved for ann until 2026-01-02T05:04:05Z"),
        "{refused}"
    );
    assert!(world.inspects("local:annabel").is_err());
    assert!(
        world.inspects("local:root").is_err(),
        "an admin releases it first, so that it is told"
    );
    world.inspects("local:ann").unwrap();
    assert!(
        world.reserves("local:bob", "bob", 1).is_err(),
        "he cannot take it"
    );
    world.pass(2 * 3600 - 1);
    assert!(world.inspects("local:bob").is_err());
    world.pass(1);
    world.inspects("local:bob").unwrap();
    assert!(world.hold().is_some(), "to the second, before any sweep");
    world.does(&ExpireOverdue);
    assert_eq!(world.hold(), None);
    assert_eq!(
        world.last_told(),
        "machine.released: the reservation of web1 has ended"
    );
}

#[test]
fn the_holder_an_admin_the_owner_and_who_reserved_it_release_and_nobody_else() {
    for (by, admin, may) in [
        ("local:bob", false, false),
        ("local:ann", false, true),
        ("local:carl", false, true),
        ("local:olga", false, true),
        ("local:root", true, true),
    ] {
        let mut world = World::new();
        world.registered(1);
        let mut machine = world.machine(1);
        machine.owner = Some("olga".parse().unwrap());
        world.view.absorb(&machine.into());
        world.reserves("local:carl", "ann", 2).unwrap();
        let release = ReleaseMachine {
            machine: MachineRef("web1".to_owned()),
            by: Asker {
                caller: by.to_owned(),
                admin,
            },
        };
        assert_eq!(world.does(&release).is_ok(), may, "{by}");
        assert_eq!(world.hold().is_none(), may, "{by}");
    }
}

#[test]
fn a_reservation_ends_in_the_future_and_within_a_year() {
    let mut world = World::new();
    world.registered(1);
    for hours in [0, -1, 367 * 24] {
        let reserved = world.reserves("local:ann", "ann", hours);
        assert_eq!(reserved, Err(HoldError::Until), "{hours}");
    }
    world.reserves("local:ann", "ann", 1).unwrap();
    world.reserves("local:ann", "ann", 9).unwrap();
    world.reserves("local:ann", "bob", 1).unwrap();
    assert!(
        world.reserves("local:ann", "ann", 1).is_err(),
        "she handed it on"
    );
}

#[test]
fn a_machine_is_given_away_by_its_owner_and_taken_when_it_is_nobodys() {
    let mut world = World::new();
    world.registered(1);
    let mut give = |by: &str, admin: bool, owner: &str| {
        let owner: Option<UserName> = owner.parse().ok();
        let update = UpdateMachine {
            machine: MachineRef("web1".to_owned()),
            name: None,
            local_boot: None,
            labels: Default::default(),
            owner: Some(NewOwner {
                owner,
                by: Asker {
                    caller: by.to_owned(),
                    admin,
                },
            }),
        };
        world.does(&update).map(|m| m.owner.map(String::from))
    };
    assert_eq!(give("local:ann", false, "ann"), Ok(Some("ann".to_owned())));
    let taken = give("local:bob", false, "bob").unwrap_err().to_string();
    assert_eq!(taken, "web1 belongs to ann; ask them, or an admin");
    assert_eq!(give("local:ann", false, "bob"), Ok(Some("bob".to_owned())));
    assert_eq!(give("local:root", true, ""), Ok(None));
}

#[test]
fn who_is_kept_off_a_machine_neither_disturbs_nor_switches_it() {
    use mesh_proto::message::command::Command;
    let mut world = World::new();
    world.registered(1);
    world.joins(1);
    world.reserves("local:root", "ann", 2).unwrap();
    let person = |name: &str| Giver::Person(name.to_owned());
    let ours = Giver::Controller("deployment 1".to_owned());
    for (by, command, free) in [
        (person("local:ann"), Command::Reboot, true),
        (person("local:bob"), Command::Reboot, false),
        (person("local:bob"), Command::Stop, false),
        (person("local:bob"), Command::Inventory, true),
        (person("local:bob"), Command::Identify { seconds: 1 }, true),
        (ours, Command::Reboot, true),
    ] {
        let issued = world.does(&IssueCommand {
            machine: MachineRef("web1".to_owned()),
            command: command.clone(),
            ttl_ms: 1000,
            by: by.clone(),
        });
        let held = matches!(issued, Err(CommandError::Held(_)));
        assert_eq!((issued.is_ok(), held), (free, !free), "{by:?}: {command:?}");
    }
    let ask = |world: &mut World, by: &str| {
        let asked = world.does(&AskPower {
            machine: MachineRef("web1".to_owned()),
            action: crate::state::power::PowerAction::Cycle,
            by: by.to_owned(),
        });
        asked.is_ok()
    };
    assert!(!ask(&mut world, "local:bob") && ask(&mut world, "local:ann"));
    assert!(
        world
            .last_told()
            .starts_with("power.asked: local:ann wants power cycle")
    );
    world.pass(2 * 60 * 60 + 1);
    assert!(ask(&mut world, "local:bob"), "her time is over");
}
