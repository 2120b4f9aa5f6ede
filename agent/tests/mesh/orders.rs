//! Orders over the link, and their effects.

use std::time::Duration;

use enforcer_agent::mesh::{Ending, Power};
use mesh_net::{CallError, LinkHandle};
use mesh_proto::message::RefusalCode;
use mesh_proto::message::command::{Command, Order};
use mesh_proto::message::link::{AgentReply, FromAgent, ToAgent};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::pretend::{Deed, Living, Start, order};
use crate::site::{Running, Seen, Site};

const PATIENCE: Duration = Duration::from_secs(10);

struct Room {
    _server: Running,
    record: UnboundedReceiver<Seen>,
    agent: Living,
    link: LinkHandle,
}

async fn room() -> Room {
    let (site, mut record) = Site::new();
    let server = Running::start(&site);
    let agent = Start::boot(&site).live(server.addr);
    let link = next!(record, Seen::Hello(link, _) => link);
    Room {
        _server: server,
        record,
        agent,
        link,
    }
}

impl Room {
    async fn ask(&self, order: Order) -> Result<AgentReply, CallError> {
        self.link.ask(&ToAgent::Command(order), PATIENCE).await
    }

    async fn refused(&self, order: Order) -> RefusalCode {
        match self.ask(order).await {
            Err(CallError::Refused(refusal)) => refusal.code,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_reboot_is_acknowledged_then_said_goodbye_to_and_only_then_done() {
    let mut room = room().await;
    let reply = room.ask(order("1", Command::Reboot)).await.unwrap();
    assert!(matches!(reply, AgentReply::Done { .. }), "{reply:?}");
    let reason = next!(room.record, Seen::Request(FromAgent::Bye { reason }) => reason);
    assert_eq!(reason, "restarting");
    assert_eq!(
        room.agent.life.await.unwrap(),
        Ending::Power(Power::Restart)
    );
}

#[tokio::test]
async fn stop_gives_a_management_os_back_to_its_disk() {
    let room = room().await;
    room.ask(order("1", Command::Stop)).await.unwrap();
    assert_eq!(
        room.agent.life.await.unwrap(),
        Ending::Power(Power::Restart)
    );
}

#[tokio::test]
async fn what_is_not_for_this_boot_or_was_here_before_is_refused_and_nothing_happens() {
    let mut room = room().await;
    let other_boot = Order {
        boot_id: "00000000-5d0c-4a39-8f0e-0d8a6b1f0c11".into(),
        ..order("1", Command::Reboot)
    };
    assert_eq!(room.refused(other_boot).await, RefusalCode::WrongBoot);
    let expired = Order {
        ttl_ms: 0,
        ..order("2", Command::Reboot)
    };
    assert_eq!(room.refused(expired).await, RefusalCode::Expired);
    let wake = Command::Wake {
        mac: "52:54:00:77:00:02".into(),
    };
    room.ask(order("3", wake)).await.unwrap();
    assert_eq!(
        room.agent.deeds.recv().await,
        Some(Deed::Wake([0x52, 0x54, 0, 0x77, 0, 2]))
    );
    assert_eq!(
        room.refused(order("3", Command::Reboot)).await,
        RefusalCode::Replayed
    );
    assert!(!room.agent.life.is_finished());
    assert_eq!(room.agent.stop().await, Ending::Stopped);
}

#[tokio::test]
async fn identify_blinks_until_its_time_is_over_or_somebody_ends_it() {
    let mut room = room().await;
    room.ask(order("1", Command::Identify { seconds: 3600 }))
        .await
        .unwrap();
    assert_eq!(room.agent.deeds.recv().await, Some(Deed::Lamp(true)));
    assert!(room.agent.until(|view| view.identify).await.identify);
    assert_eq!(room.agent.deeds.recv().await, Some(Deed::Lamp(false)));
    assert_eq!(room.agent.deeds.recv().await, Some(Deed::Lamp(true)));
    room.ask(order("2", Command::Identify { seconds: 0 }))
        .await
        .unwrap();
    room.agent.until(|view| !view.identify).await;
    let mut last = None;
    while let Ok(deed) = room.agent.deeds.try_recv() {
        last = Some(deed);
    }
    assert_eq!(last, Some(Deed::Lamp(false)), "the lamp is left dark");
    room.agent.stop().await;
}

#[tokio::test]
async fn an_inventory_sends_the_facts_as_they_are_now() {
    let mut room = room().await;
    room.agent.machine.facts.lock().unwrap().memory.bytes = 77;
    room.ask(order("1", Command::Inventory)).await.unwrap();
    let report = next!(room.record, Seen::Request(FromAgent::Facts(report)) => report);
    assert_eq!(report.facts.memory.bytes, 77);
    room.agent.stop().await;
}

#[tokio::test]
async fn rotated_keys_are_used_at_once() {
    let mut room = room().await;
    room.ask(order("1", Command::RotateKeys)).await.unwrap();
    let (peer, csr) = next!(room.record, Seen::Renew(peer, csr) => (peer, csr));
    assert_ne!(peer.spki_sha256, csr.spki_sha256);
    let link = next!(room.record, Seen::Hello(link, _) => link);
    assert_eq!(link.peer().spki_sha256, csr.spki_sha256);
    room.agent.stop().await;
}
