//! The life of links: a controller that restarts, an agent that moves, a wire that is cut.

use std::{sync::Arc, time::Duration};

use crate::support::{
    Ca, Leaf, Running,
    authority::{Court, Seen},
    endpoint, hello,
    wire::Wire,
};
use mesh_net::{CloseCode, Dialer, LinkEnd};
use mesh_proto::message::link::{ControllerReply, FromAgent, ToAgent};
use tokio::{sync::Notify, time::Instant};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_agent_finds_its_controller_again_after_a_restart() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let (agent, addr) = (ca.agent(&Leaf::agent(7)), server.addr);
    let mut dialer = Dialer::new(endpoint(), &[addr]);
    let knock = Arc::new(Notify::new());
    let link = dialer
        .link(&agent, &hello(), &knock, |_, _| {})
        .await
        .unwrap();
    seen!(record, Seen::Hello(..) => ());
    server.stop().await;
    assert!(matches!(
        link.link.ended().await,
        LinkEnd::ByPeer {
            code: CloseCode::Stopping,
            ..
        }
    ));
    seen!(record, Seen::Closed(_, LinkEnd::ByUs) => ());

    let (failures, mut failed) = tokio::sync::mpsc::unbounded_channel();
    let again = tokio::spawn({
        let knock = Arc::clone(&knock);
        async move {
            dialer
                .link(&agent, &hello(), &knock, |at, _| failures.send(at).unwrap())
                .await
        }
    });
    assert_eq!(failed.recv().await, Some(addr), "nobody is there");
    let _server = Running::start_with(
        &ca,
        &court,
        &addr.to_string(),
        mesh_net::ServerLimits::default(),
    );
    knock.notify_one();
    again.await.unwrap().unwrap();
    seen!(record, Seen::Hello(..) => ());
}

#[tokio::test]
async fn the_second_controller_is_tried_when_the_first_is_gone_and_a_welcome_is_learnt_from() {
    let ca = Ca::new();
    let (court, _record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut dialer = Dialer::new(endpoint(), &[nobody, server.addr]);
    let failed = std::sync::Mutex::new(Vec::new());
    let agent = ca.agent(&Leaf::agent(7));
    dialer
        .link(&agent, &hello(), &Notify::new(), |at, _| {
            failed.lock().unwrap().push(at);
        })
        .await
        .unwrap();
    assert_eq!(*failed.lock().unwrap(), [nobody]);
    assert_eq!(
        dialer.controllers(),
        [server.addr, nobody],
        "who answered comes first"
    );
}

#[tokio::test]
async fn a_link_moves_with_its_agent() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let endpoint = endpoint();
    let link = endpoint
        .connect(server.addr, &ca.agent(&Leaf::agent(7)), &hello())
        .await
        .unwrap();
    let handle = seen!(record, Seen::Hello(handle, _) => handle);
    let before = handle.remote();
    endpoint.rebind("127.0.0.1:0".parse().unwrap()).unwrap();
    let bye = FromAgent::Bye {
        reason: String::new(),
    };
    assert_eq!(link.link.call(&bye, SOON).await, Ok(ControllerReply::Ok));
    assert_ne!(handle.remote(), before);
    assert_eq!(handle.remote(), endpoint.local_addr().unwrap());
}

/// In real time, since QUIC's timers and the kernel's sockets are what is tested.
#[tokio::test]
async fn a_cut_wire_shows_on_both_sides_within_ten_and_a_half_seconds() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let wire = Wire::to(server.addr).await;
    let link = endpoint()
        .connect(wire.addr, &ca.agent(&Leaf::agent(7)), &hello())
        .await
        .unwrap();
    let handle = seen!(record, Seen::Hello(handle, _) => handle);
    let heard = handle.last_heard();
    wire.cut();
    let cut = Instant::now();
    assert!(
        handle
            .ask(&ToAgent::Facts, Duration::from_millis(100))
            .await
            .is_err()
    );
    let (agents, ours) = tokio::join!(async { (link.link.ended().await, cut.elapsed()) }, async {
        (seen!(record, Seen::Closed(_, end) => end), cut.elapsed())
    });
    for (end, after) in [agents, ours] {
        assert_eq!(end, LinkEnd::Silent);
        let range = Duration::from_secs(8)..Duration::from_millis(10_500);
        assert!(range.contains(&after), "after {after:?}");
    }
    assert!(
        handle.last_heard() <= heard.max(cut.into_std()),
        "silence is silence"
    );
}

/// How long a link stands whose controller was killed, when the next one has this key; ten seconds are the limit.
fn outlives(next_key: [u8; 32]) -> (LinkEnd, Duration) {
    let executor = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let (first, next, agents) = (executor(), executor(), executor());
    let ca = Ca::new();
    let (court, record) = Court::new(&ca);
    let server =
        first.block_on(async { Running::start_telling(&ca, &court, "127.0.0.1:0", [7; 32]) });
    let addr = server.addr;
    let (_agent, link) = agents.block_on(async {
        let agent = endpoint();
        let identity = ca.agent(&Leaf::agent(7));
        let link = agent.connect(addr, &identity, &hello()).await.unwrap();
        (agent, link)
    });
    // Killed: nothing of it runs any more, and nothing was said.
    first.shutdown_timeout(SOON);
    drop((server, record));
    let listen = addr.to_string();
    let _server = next.block_on(async { Running::start_telling(&ca, &court, &listen, next_key) });
    let start = std::time::Instant::now();
    let end = agents.block_on(async {
        // It asks something, as agents do.
        let bye = FromAgent::Bye {
            reason: String::new(),
        };
        let _unheard = link.link.call(&bye, Duration::from_millis(100)).await;
        tokio::time::timeout(2 * SOON, link.link.ended())
            .await
            .unwrap()
    });
    (end, start.elapsed())
}

#[test]
fn the_agents_of_a_killed_controller_are_told_by_the_next_one() {
    let (end, after) = outlives([7; 32]);
    assert!(matches!(end, LinkEnd::Reset), "{end:?}");
    assert!(after < Duration::from_secs(3), "{after:?}");
}

#[test]
fn nobody_elses_word_ends_the_links_of_a_killed_controller() {
    let (end, after) = outlives([8; 32]);
    assert!(matches!(end, LinkEnd::Silent), "{end:?}");
    assert!(after > Duration::from_secs(5), "{after:?}");
}

/// In real time, too. The first handshake's packets of 0, 0.3 and 0.9 s are lost, its next one would be that of 2.1 s.
#[tokio::test]
async fn a_second_handshake_overtakes_one_that_lost_its_packets() {
    let ca = Ca::new();
    let (court, _record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let wire = Wire::to(server.addr).await;
    wire.cut();
    let (agent, hello, endpoint) = (ca.agent(&Leaf::agent(7)), hello(), endpoint());
    let began = Instant::now();
    let (link, ()) = tokio::join!(endpoint.connect(wire.addr, &agent, &hello), async {
        tokio::time::sleep_until(began + Duration::from_millis(950)).await;
        wire.mend();
    });
    link.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_millis(2000), "{took:?}");
}
