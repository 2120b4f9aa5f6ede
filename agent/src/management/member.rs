//! The management OS in the mesh: enrols this boot's key, stays a member, shows it to people and to whoever reads the
//! serial line (`ENFORCER MEMBER {…}`, `ENFORCER CODE 1234-5678`), until an order or the end of the idle time.

use std::path::Path;
use std::sync::Arc;

use mesh_net::{CaTrust, EnrolProof, tls};
use mesh_proto::facts::HardwareFacts;
use mesh_proto::message::enrol::{KeyKind, Level};
use mesh_proto::message::link::Habitat;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::console::Consoles;
use super::jobs;
use super::lease::Lease;
use super::screen::{self, Machine as Shown};
use crate::cmdline::{BootWords, Idle};
use crate::effects::{self, Machine};
use crate::fingerprint::Fingerprint;
use crate::journal::Journal;
use crate::mesh::{Agent, Ending, Enrolment, GossipChoice, Memory, Power, Setup, Stage, View};
use crate::{GOSSIP_PORT, boot_id, randomness};

/// The `ENFORCER MEMBER` line.
#[derive(Debug, Serialize)]
struct MemberLine<'a> {
    name: Option<&'a str>,
    generation: u32,
    level: Option<Level>,
    accepted: bool,
    controller: Option<std::net::SocketAddr>,
}

/// Stays until the machine is to go down.
pub(super) async fn stay(
    machine: &Arc<Machine>,
    words: &BootWords,
    lease: &Lease,
    facts: HardwareFacts,
    consoles: &Consoles,
    journal: &Journal,
) -> Power {
    let shown = Shown {
        name: words.machine.clone(),
        address: format!("{}/{}", lease.address, lease.prefix),
        hardware: super::status::hardware(&facts),
    };
    // After READY: making randomness takes a whole processor for its time.
    if tokio::task::spawn_blocking(randomness::wait).await.is_err() {
        journal.say("the kernel gives no randomness");
    }
    let agent = match Agent::new(setup(machine, words, facts, journal)) {
        Ok(agent) if !words.controllers.is_empty() => agent,
        Ok(_) => {
            journal
                .say("no controller is named: staying alone (enforcer.controller=, enforcer.url=)");
            return alone(words.idle, journal).await;
        }
        Err(error) => {
            journal.say(&format!("no socket for the mesh: {error}"));
            return alone(words.idle, journal).await;
        }
    };
    let (view, active, line) = (agent.view(), agent.active(), agent.jobs());
    let stop = CancellationToken::new();
    let life = agent.run(stop.clone());
    tokio::pin!(life);
    tokio::select! {
        ending = &mut life => after(ending, words.idle, journal).await,
        () = show(view, &shown, consoles) => Power::Restart,
        power = jobs::work(line, words.tools_url(), consoles, journal) => {
            stop.cancel();
            life.await;
            power
        }
        () = idle(words.idle, active) => {
            journal.say("nothing to do in all this time: giving the machine back to its disk");
            stop.cancel();
            life.await;
            Power::Restart
        }
    }
}

fn setup(
    machine: &Arc<Machine>,
    words: &BootWords,
    facts: HardwareFacts,
    journal: &Journal,
) -> Setup<Machine> {
    let folder = Path::new(super::RUN).join("key");
    let kept = Memory::of_this_boot(&folder, Fingerprint::of(&facts));
    let (memory, identity) = kept.unwrap_or_else(|error| {
        journal.say(&format!("the key lasts as long as this agent: {error}"));
        (Memory::Ram, None)
    });
    Setup {
        effects: Arc::clone(machine),
        habitat: Habitat::ManagementOs,
        boot_id: boot_id(),
        nonce: words.nonce.clone(),
        has_power: effects::has_power(),
        facts,
        journal: journal.clone(),
        memory,
        identity,
        enrolment: Some(enrolment(words)),
        controllers: words.controllers.clone(),
        gossip: GossipChoice::Port(GOSSIP_PORT),
        helper: None,
        watch: Arc::new(|_| {}),
        bind: None,
        // Certificates tell a clock of 1970 that it is late.
        clock: tls::system_clock(),
    }
}

fn enrolment(words: &BootWords) -> Enrolment {
    let proof = match (&words.secret, &words.boot_mac) {
        (Some(secret), Some(mac)) => EnrolProof::Boot {
            mac: mac.clone(),
            secret: secret.clone(),
        },
        _ => EnrolProof::None,
    };
    Enrolment {
        key: KeyKind::Boot,
        proof,
        trust: words.ca.map_or(CaTrust::Shown, CaTrust::Sha256),
    }
}

async fn alone(limit: Idle, journal: &Journal) -> Power {
    idle(limit, watch::Sender::new(Instant::now()).subscribe()).await;
    journal.say("nothing to do in all this time: giving the machine back to its disk");
    Power::Restart
}

async fn after(ending: Ending, limit: Idle, journal: &Journal) -> Power {
    match ending {
        Ending::Power(power) => power,
        // The reason stays on the screen for as long as an idle machine stays.
        Ending::Refused(_) => alone(limit, journal).await,
        Ending::Stopped => Power::Restart,
    }
}

/// Returns when nobody has wanted anything for all this time.
async fn idle(limit: Idle, mut active: watch::Receiver<Instant>) {
    let Idle::After(limit) = limit else {
        return std::future::pending().await;
    };
    loop {
        let until = *active.borrow_and_update() + limit;
        sleep_until(until).await;
        if *active.borrow() + limit <= until {
            return;
        }
    }
}

/// Shows every change; never returns before the agent is gone.
async fn show(mut views: watch::Receiver<View>, machine: &Shown, consoles: &Consoles) {
    let mut before = View::default();
    loop {
        let view = views.borrow_and_update().clone();
        for line in lines_for_programs(&before, &view) {
            consoles.bare(&line);
        }
        if is_news(&before, &view) {
            consoles.page(&screen::render(machine, &view));
        }
        before = view;
        if views.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Errors are lines of the log already, and come often while a controller is away.
fn is_news(before: &View, view: &View) -> bool {
    let seen = |view: &View| View {
        error: None,
        ..view.clone()
    };
    seen(before) != seen(view) || view.stage == Stage::Refused
}

/// What tests and serial-line readers wait for.
fn lines_for_programs(before: &View, view: &View) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(code) = view
        .shown_code()
        .filter(|code| before.shown_code() != Some(*code))
    {
        lines.push(format!("ENFORCER CODE {code}"));
    }
    if let Some(generation) = view
        .generation
        .filter(|new| before.generation != Some(*new))
    {
        let member = MemberLine {
            name: view.name.as_deref(),
            generation,
            level: view.level,
            accepted: view.accepted,
            controller: view.controller,
        };
        lines.extend(serde_json::to_string(&member).map(|json| format!("ENFORCER MEMBER {json}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmdline;
    use std::time::Duration;

    #[test]
    fn a_secret_counts_only_with_the_card_it_is_for() {
        let secret = "enforcer.secret=00112233445566778899aabbccddeeff";
        let proof = |text: &str| enrolment(&cmdline::parse(text)).proof;
        assert!(
            matches!(proof(&format!("{secret} BOOTIF=01-52-54-00-77-00-01")),
            EnrolProof::Boot { mac, .. } if mac == "52:54:00:77:00:01")
        );
        assert!(matches!(proof(secret), EnrolProof::None));
        assert!(matches!(
            proof("BOOTIF=01-52-54-00-77-00-01"),
            EnrolProof::None
        ));
        let pinned = enrolment(&cmdline::parse(&format!("enforcer.ca={}", "ab".repeat(32))));
        assert_eq!(pinned.trust, CaTrust::Sha256([0xab; 32]));
        assert_eq!(enrolment(&cmdline::parse("")).trust, CaTrust::Shown);
    }

    #[test]
    fn programs_get_a_line_for_each_code_and_each_generation() {
        let start = View::default();
        let coded = View {
            code: Some("1234-5678".into()),
            stage: Stage::Waiting("compare".into()),
            ..start.clone()
        };
        let member = View {
            stage: Stage::Member,
            name: Some("m1".into()),
            generation: Some(7),
            level: Some(Level::T1),
            accepted: true,
            controller: Some("10.0.0.1:4848".parse().unwrap()),
            ..coded.clone()
        };
        let trying = View {
            stage: Stage::Enrolling,
            ..coded.clone()
        };
        assert!(
            lines_for_programs(&start, &trying).is_empty(),
            "it may be refused yet"
        );
        assert_eq!(
            lines_for_programs(&trying, &coded),
            ["ENFORCER CODE 1234-5678"]
        );
        let line = r#"ENFORCER MEMBER {"name":"m1","generation":7,"level":"T1","accepted":true,"controller":"10.0.0.1:4848"}"#;
        assert_eq!(lines_for_programs(&coded, &member), [line]);
        assert!(
            lines_for_programs(
                &member,
                &View {
                    error: Some("x".into()),
                    ..member.clone()
                }
            )
            .is_empty()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_machine_goes_back_to_its_disk_and_a_busy_one_stays() {
        let started = Instant::now();
        let active = watch::Sender::new(started);
        let limit = Duration::from_secs(600);
        let watching = idle(Idle::After(limit), active.subscribe());
        let work = async {
            tokio::time::sleep(Duration::from_secs(500)).await;
            active.send_replace(Instant::now());
        };
        tokio::join!(watching, work);
        assert_eq!(started.elapsed().as_secs(), 1100);
        let forever = idle(Idle::Forever, active.subscribe());
        assert!(tokio::time::timeout(limit * 1000, forever).await.is_err());
    }
}
