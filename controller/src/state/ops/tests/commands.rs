//! Commands: who may be asked for what, and how each ends.

use mesh_proto::message::command::Command;

use super::*;
use crate::state::command::{CommandRecord, CommandStage};

fn issue(world: &mut World, command: Command) -> Result<CommandRecord, CommandError> {
    let issue = IssueCommand {
        machine: MachineRef("web1".into()),
        command,
        ttl_ms: 10_000,
        by: Giver::Person("ann".into()),
    };
    world.does(&issue)
}

fn says(world: &mut World, command: &CommandRecord, word: CommandWord) -> CommandRecord {
    world
        .does(&Settle {
            id: command.id,
            word,
        })
        .unwrap()
}

#[test]
fn a_command_is_written_down_sent_and_settled_once() {
    let mut world = World::new();
    world.registered(1);
    let key = world.joins(1);
    let command = issue(&mut world, Command::Reboot).unwrap();
    assert_eq!(
        (command.stage, &command.boot_id),
        (CommandStage::Issued, &key.boot_id)
    );
    assert_eq!(command.order().id, "1");
    assert_eq!(
        says(&mut world, &command, CommandWord::Sent).stage,
        CommandStage::Sent
    );
    let going = says(
        &mut world,
        &command,
        CommandWord::Progress("going\x1b[2J down".into()),
    );
    assert_eq!(going.text.as_deref(), Some("going[2J down"));
    let done = says(&mut world, &command, CommandWord::Done("about to".into()));
    assert_eq!(
        (done.stage, done.settled),
        (CommandStage::Done, Some(world.now))
    );
    let late = says(&mut world, &command, CommandWord::Failed("no".into()));
    assert_eq!(late, done, "what is settled stays");
    let told = world.told();
    assert!(
        told.ends_with(&["command.issued".into(), "command.done".into()]),
        "{told:?}"
    );
    assert_eq!(world.view.open_commands().count(), 0);
}

#[test]
fn who_may_not_be_asked_is_told_why() {
    let mut world = World::new();
    assert!(matches!(
        issue(&mut world, Command::Reboot),
        Err(CommandError::NoMachine(_))
    ));
    world.registered(1);
    assert!(matches!(
        issue(&mut world, Command::Reboot),
        Err(CommandError::NoMember(_))
    ));
    world.joins(1);
    assert!(
        matches!(
            issue(&mut world, Command::RotateKeys),
            Err(CommandError::LevelTooLow(..))
        ),
        "T1 asks for T2's"
    );
    let mut machine = world.machine(1);
    machine.standing = Standing::Seen;
    world
        .view
        .absorb(&Record::Machine(machine.clone().into()).into());
    assert!(matches!(
        issue(&mut world, Command::Reboot),
        Err(CommandError::NotAccepted(_))
    ));
    assert!(
        issue(&mut world, Command::Inventory).is_ok(),
        "looking is for every member"
    );
    machine.standing = Standing::Accepted;
    machine.disputed = Some(crate::state::machine::Dispute {
        at: world.now,
        newcomer: Digest::of(b"x"),
        from: ip(9),
        why: String::new(),
        identity: crate::state::matching::Identity::default(),
    });
    world
        .view
        .absorb(&Record::Machine(machine.clone().into()).into());
    assert!(matches!(
        issue(&mut world, Command::Stop),
        Err(CommandError::Disputed(_))
    ));
    machine.disputed = None;
    world.view.absorb(&Record::Machine(machine.into()).into());
    world.silent(1);
    let told = issue(&mut world, Command::Reboot).unwrap_err().to_string();
    assert_eq!(
        told,
        "web1 is unreachable (silent for 6 s); it can be asked when it is back"
    );
}

#[test]
fn a_new_boot_settles_what_was_open_for_the_old_one() {
    let mut world = World::new();
    world.registered(1);
    world.joins(1);
    let reboot = issue(&mut world, Command::Reboot).unwrap();
    let unsent = issue(&mut world, Command::Inventory).unwrap();
    says(&mut world, &reboot, CommandWord::Sent);
    world.silent(1);
    world.pass(24 * 3600);
    let id = world.machine(1).id;
    world.view.absorb(&crate::state::Key::Facts(id).into());
    world.joins(1);
    let stage = |world: &World, c: &CommandRecord| world.view.command(c.id).unwrap().stage;
    assert_eq!(
        stage(&world, &reboot),
        CommandStage::Done,
        "its machine has started again"
    );
    assert_eq!(stage(&world, &unsent), CommandStage::Lost);
}

#[test]
fn after_a_start_nothing_is_open_and_nobody_is_alive() {
    let mut world = World::new();
    world.registered(1);
    let key = world.joins(1);
    let command = issue(&mut world, Command::Inventory).unwrap();
    let waiting = world.request(5, Claim::None);
    waits(world.does(&waiting));
    world.does(&SettleAfterStart);
    assert_eq!(
        world.view.command(command.id).unwrap().stage,
        CommandStage::Lost
    );
    assert_eq!(world.view.pending().count(), 0);
    let member = world.view.member(&key.machine).unwrap();
    assert!(!member.is_alive() && member.why.contains("since the controller started"));
    let generation = member.generation;
    assert!(world.links(1, &key).member.generation > generation);
}

#[test]
fn a_command_that_nobody_takes_ends() {
    let mut world = World::new();
    world.registered(1);
    world.joins(1);
    let unsent = issue(&mut world, Command::Inventory).unwrap();
    let sent = issue(&mut world, Command::Identify { seconds: 60 }).unwrap();
    says(&mut world, &sent, CommandWord::Sent);
    world.pass(20);
    world.does(&ExpireOverdue);
    let stage = |world: &World, c: &CommandRecord| world.view.command(c.id).unwrap().stage;
    assert_eq!(
        (stage(&world, &unsent), stage(&world, &sent)),
        (CommandStage::Expired, CommandStage::Sent)
    );
    world.pass(11 * 60);
    world.does(&ExpireOverdue);
    assert_eq!(stage(&world, &sent), CommandStage::Lost);
}

#[test]
fn commands_are_bounded_and_their_numbers_never_return() {
    let mut world = World::new();
    world.registered(1);
    world.joins(1);
    let mut last = 0;
    for _ in 0..100 {
        let command = issue(&mut world, Command::Inventory).unwrap();
        assert!(command.id.0 > last);
        last = command.id.0;
        says(&mut world, &command, CommandWord::Done(String::new()));
    }
    assert!(world.view.commands().count() <= 33);
    for _ in 0..16 {
        issue(&mut world, Command::Inventory).unwrap();
    }
    assert!(matches!(
        issue(&mut world, Command::Inventory),
        Err(CommandError::TooMany(_))
    ));
}
