//! Links between sites and time, in virtual time where it is not said otherwise: QUIC's timers are Tokio's, and on loopback a
//! packet that was sent is there.

use std::{sync::Arc, time::Duration};

use mesh_net::{CallError, LinkEnd, PeerLink};
use mesh_proto::message::peer::{PeerAsk, PeerReply};
use tokio::time::Instant;

use crate::{
    peers::{OTHER, der, elsewhere, joined},
    support::{
        Ca, Leaf, Running,
        authority::{Court, Seen},
        endpoint, hello, raw,
        wire::Wire,
    },
};

const SOON: Duration = Duration::from_secs(10);

/// How a link ends, and after how long.
async fn ended(link: &PeerLink) -> (LinkEnd, Duration) {
    let begun = Instant::now();
    loop {
        if let Err(end) = link.accept_frame().await {
            return (end, begun.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_between_sites_costs_a_packet_each_way_in_ten_seconds_and_an_agents_two_in_two()
 {
    const WATCHED: Duration = Duration::from_secs(300);
    let mut sites = joined().await;
    let there: PeerLink = seen!(sites.record, Seen::Peer(link) => link);
    let agents = Wire::to(sites.server.addr).await;
    let (agent, hello) = (sites.ca.agent(&Leaf::agent(7)), hello());
    let _link = endpoint().connect(agents.addr, &agent, &hello).await;
    // The search for the largest packet is over by then.
    tokio::time::sleep(WATCHED).await;
    for (what, wire, each_s) in [("sites", &sites.wire, 10), ("an agent", &agents, 1)] {
        println!("{what}, its beginning: {:?}", wire.carried());
        let before = Instant::now();
        tokio::time::sleep(WATCHED).await;
        let watched = before.elapsed().as_secs();
        for way in wire.carried() {
            println!("{what}, {watched} s one way: {way:?}");
            // With an agent both sides ask, since both timers run from the same packet.
            let most = watched / each_s;
            assert!(
                (most * 9 / 10..=most + 2).contains(&way.packets),
                "{what}: {way:?}"
            );
            assert!(way.bytes <= 64 * way.packets, "{what}: {way:?}");
        }
    }
    assert_eq!((sites.link.end(), there.end()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_link_between_sites_outlives_six_seconds_of_silence_and_ends_in_thirty() {
    let mut sites = joined().await;
    let there: PeerLink = seen!(sites.record, Seen::Peer(link) => link);
    tokio::time::sleep(Duration::from_secs(60)).await;
    sites.wire.cut();
    // QUIC repeats a lost packet ever more seldom: what is mended within half of the time is found out in it.
    tokio::time::sleep(Duration::from_secs(6)).await;
    sites.wire.mend();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((sites.link.end(), there.end()), (None, None));
    sites.wire.cut();
    let both = tokio::join!(ended(&sites.link), ended(&there));
    for (end, after) in [both.0, both.1] {
        assert_eq!(end, LinkEnd::Silent);
        // The last sign of life may be as old as they are apart.
        let range = Duration::from_secs(10)..Duration::from_millis(30_500);
        assert!(range.contains(&after), "after {after:?}");
    }
}

/// Who does not read is cut off, and does not hold up the link.
#[tokio::test(start_paused = true)]
async fn a_deaf_subscriber_is_cut_off_after_its_time_and_other_questions_are_answered() {
    let mut sites = joined().await;
    let there: PeerLink = seen!(sites.record, Seen::Peer(link) => link);
    let subscribe = PeerAsk::Events { after: None };
    let told = PeerReply::Nothing {
        why: "x".repeat(60_000),
    };
    let told_until_cut_off = async {
        let (_, mut to) = there.accept().await.unwrap().read().await.unwrap();
        to.say(&PeerReply::Noted, SOON).await.unwrap();
        for count in 1.. {
            let begun = Instant::now();
            if to.say(&told, SOON).await.is_err() {
                return (count, begun.elapsed());
            }
        }
        unreachable!("its window is finite")
    };
    let subscribed = sites.link.subscribe(&subscribe, SOON);
    let (subscribed, (count, waited)) = tokio::join!(subscribed, told_until_cut_off);
    let (_, mut replies) = subscribed.unwrap();
    assert!(count < 100, "{count} answers wait in memory");
    assert!((SOON..SOON * 2).contains(&waited), "{waited:?}");
    // What was on its way is still read; then it hears that it was too slow.
    let end = loop {
        if let Err(end) = replies.next(SOON).await {
            break end;
        }
    };
    assert!(!matches!(end, CallError::TimedOut), "{end:?}");
    let macs = PeerAsk::Macs { macs: Vec::new() };
    let answer = async {
        let (_, to) = there.accept().await.unwrap().read().await.unwrap();
        to.reply(&PeerReply::Noted).await;
    };
    let (reply, ()) = tokio::join!(sites.link.ask(&macs, SOON), answer);
    assert_eq!(reply, Ok(PeerReply::Noted));
}

/// A question that keeps no rules, and how it ends at the side that is asked.
#[tokio::test(start_paused = true)]
async fn a_question_that_drips_lies_about_its_length_or_is_none_ends_in_five_seconds() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let believed = (OTHER.to_owned(), der(&other));
    server.peers.lock().unwrap().push(believed);
    let shown = Some(other.shown(&elsewhere()));
    let client = raw::client(b"enforcer-peer/1", shown, &Arc::default());
    let connection = raw::dial(server.addr, client).await;
    let there: PeerLink = seen!(record, Seen::Peer(link) => link);
    let whole = raw::framed(&serde_json::json!({"v": 1, "kind": "macs", "macs": []}));
    let rows: [(&str, Vec<u8>, bool); 5] = [
        ("whole", whole.clone(), true),
        ("a gigabyte", vec![0x40, 0, 0, 0, b'{'], false),
        ("no JSON", vec![0, 0, 0, 2, b'{', b'x'], false),
        (
            "of another time",
            raw::framed(&serde_json::json!({"v": 2, "kind": "macs"})),
            false,
        ),
        ("half of it", whole[..9].to_vec(), false),
    ];
    for (what, bytes, good) in rows {
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        let begun = Instant::now();
        let read = there.accept().await.unwrap().read().await;
        assert_eq!(read.is_ok(), good, "{what}: {read:?}");
        assert!(
            begun.elapsed() <= Duration::from_secs(5),
            "{what}: {:?}",
            begun.elapsed()
        );
    }
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    let drips = async {
        for byte in whole.chunks(1) {
            send.write_all(byte).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let begun = Instant::now();
    let read = async {
        let read = there.accept().await.unwrap().read().await;
        (read.is_err(), begun.elapsed())
    };
    let (cut_off, after) = tokio::select! {
        read = read => read,
        () = drips => panic!("it was waited for"),
    };
    assert!(cut_off && after <= Duration::from_secs(6), "{after:?}");
    assert_eq!(there.end(), None, "the link goes on");
}

/// Over a wire that is 100 ms long there and back.
#[tokio::test(start_paused = true)]
async fn a_question_costs_one_round_trip_and_not_five_milliseconds_more() {
    let mut sites = joined().await;
    let there: PeerLink = seen!(sites.record, Seen::Peer(link) => link);
    sites.wire.lengthen(Duration::from_millis(50));
    tokio::spawn(async move {
        while let Ok(incoming) = there.accept().await {
            let (_, to) = incoming.read().await.unwrap();
            to.reply(&PeerReply::Noted).await;
        }
    });
    let macs = PeerAsk::Macs { macs: Vec::new() };
    for n in 0..5 {
        let begun = Instant::now();
        let reply = sites.link.ask(&macs, SOON).await;
        assert_eq!(reply, Ok(PeerReply::Noted));
        let took = begun.elapsed();
        let range = Duration::from_millis(100)..=Duration::from_millis(105);
        assert!(range.contains(&took), "question {n}: {took:?}");
    }
}
