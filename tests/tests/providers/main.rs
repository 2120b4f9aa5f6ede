//! Serf as the agent: a room of Debian's real `serf`, whose members become machines; killed, asked to restart, silent, with a wrong key.

mod room;

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use enforcer_tests::lab::{ControllerPlan, story, wait_until};
use enforcer_tests::site::{PATIENCE, Site};

use room::{KEY, Room, agents, card};

/// Agents of the room.
const AGENTS: u8 = 20;

fn configured(room: &Room, key: &str) -> Result<String> {
    let file = room.secret("serf.key", key)?;
    Ok(format!(
        "mesh = false\ndhcp.mode = \"off\"\ntftp = false\n[[providers]]\nname = \"lab\"\ntype = \"serf\"\naddress = \"{}\"\nauth_key_file = \"{}\"\n",
        room.rpc(1),
        file.display()
    ))
}

#[test]
fn twenty_serf_agents_are_machines_and_a_killed_one_is_marked() -> Result<()> {
    story("serf-room", |space| {
        let mut room = Room::start(space, AGENTS)?;
        let controller = ControllerPlan::new()
            .config(&configured(&room, KEY)?)
            .start(space)?;
        let site = Site { controller };
        let all = wait_until("twenty members alive", PATIENCE, || {
            let members = site.controller.list("members")?;
            let alive = members.iter().filter(|m| m["state"] == "alive").count();
            Ok((alive == usize::from(AGENTS)).then_some(members))
        })?;
        for n in 1..=AGENTS {
            let machine = site.machine(&card(n))?;
            ensure!(machine["standing"] == "seen", "{machine}");
            let told = &machine["providers"][0];
            ensure!(
                told["node"] == format!("n{n}") && told["source"] == "serf lab",
                "{told}"
            );
            ensure!(told["tags"]["role"] == "web", "{told}");
        }
        ensure!(
            all.iter()
                .all(|m| m["source"] == "serf lab" && m["level"].is_null())
        );
        let listed = site.enforcer(&["members", "list"])?;
        ensure!(
            listed.contains("SOURCE") && listed.contains("serf lab"),
            "{listed}"
        );

        room.kill(7);
        let noticed = wait_until("serf to notice", PATIENCE, || {
            let log = room.log(1);
            Ok(log.contains("EventMemberFailed: n7 ").then(Instant::now))
        })?;
        let down = site.wait_event(&card(7), "member.down")?;
        println!(
            "marked {:?} after serf's own agent noticed",
            noticed.elapsed()
        );
        ensure!(down.text.contains("n7 of serf lab"), "{}", down.text);
        let others = agents(&site.controller.list("members")?, "alive");
        ensure!(others == usize::from(AGENTS) - 1, "{others} are alive");
        room.start_agent(7)?;
        site.wait_event(&card(7), "member.alive")?;
        Ok(())
    })
}

#[test]
fn a_reboot_is_a_query_whose_acknowledgement_settles_the_command() -> Result<()> {
    story("serf-reboot", |space| {
        let mut room = Room::start(space, 3)?;
        let controller = ControllerPlan::new()
            .config(&configured(&room, KEY)?)
            .start(space)?;
        let site = Site { controller };
        site.wait_event(&card(2), "member.joined")?;
        let refused = site.refused(&["machines", "reboot", &card(2)])?;
        ensure!(refused.contains("machines register"), "{refused}");
        site.enforcer(&["machines", "register", &card(2), "--name", "web2"])?;
        site.enforcer(&["machines", "reboot", "web2", "--wait"])?;
        let done = site.wait_event("web2", "command.done")?;
        ensure!(done.text.contains("n2 has the query"), "{}", done.text);
        room.wait_rebooted(2)?;
        ensure!(
            !room.rebooted(1) && !room.rebooted(3),
            "only the one that was meant"
        );
        let stop = site.refused(&["machines", "stop", "web2"])?;
        ensure!(stop.contains("asked to reboot"), "{stop}");
        // The command is written down; nobody is there to take it.
        room.pause(2)?;
        let lost = site.refused(&["machines", "reboot", "web2", "--wait"])?;
        ensure!(lost.contains("expired"), "{lost}");
        Ok(())
    })
}

#[test]
fn a_serf_that_refuses_stops_or_hangs_is_told_and_nothing_else_stops() -> Result<()> {
    story("serf-down", |space| {
        let mut room = Room::start(space, 2)?;
        let wrong = configured(&room, "not the key")?;
        let mut controller = ControllerPlan::new().config(&wrong).start(space)?;
        controller.wait_log("it refused our key", PATIENCE)?;
        room.secret("serf.key", KEY)?;
        let site = Site { controller };
        site.wait_event(&card(2), "member.joined")?;
        room.pause(1)?;
        let event = wait_until("the silence to be told", PATIENCE, || {
            let events = site.get("/api/v1/events?limit=1000")?;
            let all = events["items"].as_array().context("a list")?;
            Ok(all.iter().find(|e| e["kind"] == "provider.silent").cloned())
        })?;
        ensure!(
            event["text"]
                .as_str()
                .is_some_and(|t| t.contains("did not answer within")),
            "{event}"
        );
        let shown = site.enforcer(&["machines", "show", &card(2)])?;
        ensure!(
            shown.contains("unreachable") && shown.contains("does not answer"),
            "{shown}"
        );
        let (_, metrics) = site.controller.api("GET", "/metrics", "")?;
        for line in [
            "enforcer_provider_faults_total{fault=\"late\"}",
            "enforcer_provider_members{state=\"unreachable\"} 2",
        ] {
            ensure!(metrics.contains(line), "no {line} in {metrics}");
        }
        let told = site.enforcer(&["providers", "list"])?;
        for word in [
            "lab",
            "serf",
            "silent",
            "0 of 2",
            "did not answer within",
            "asked ",
        ] {
            ensure!(told.contains(word), "no {word} in {told}");
        }
        let started = Instant::now();
        let script = space.run("curl", &["-fsS", "http://10.77.0.1:4880/boot.ipxe"])?;
        ensure!(script.starts_with("#!ipxe"), "{script}");
        println!("a boot script took {:?} while serf hung", started.elapsed());
        room.go_on(1)?;
        wait_until("its members to be alive again", PATIENCE, || {
            Ok((agents(&site.controller.list("members")?, "alive") == 2).then_some(()))
        })
    })
}
