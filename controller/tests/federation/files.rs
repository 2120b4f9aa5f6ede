//! Files of another site, served while they come: the first bytes at once, the last ones when all are right, and a wrong file
//! never whole.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mesh_proto::message::peer::{Grant, GrantedFile};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};

use crate::{
    town::{CACHE, MAC, SIZES, Town, content, named, towns},
    villain::{Den, grant, offers},
};

const SOON: Duration = Duration::from_secs(20);
const PIECE: usize = 100_000;

fn sum(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum.iter().map(|b| format!("{b:02x}")).collect()
}

fn kernel() -> Vec<u8> {
    (0..500_000_u32).map(|n| (n / 7 % 251) as u8).collect()
}

fn granted(file: &[u8]) -> Grant {
    let file = GrantedFile {
        name: "vmlinuz".to_owned(),
        sha256: sum(file),
        size: file.len() as u64,
    };
    Grant {
        files: vec![file],
        ..grant()
    }
}

fn pieces(bytes: &[u8]) -> Vec<Bytes> {
    bytes.chunks(PIECE).map(Bytes::copy_from_slice).collect()
}

/// A site that grants `right` and sends `sent`; its machine has its script.
async fn served(right: &[u8], sent: &[u8]) -> (Town, Den, mesh_net::PeerLink, Arc<Semaphore>) {
    let a = Town::start("site-a").await;
    let (den, link) = Den::joined(&a).await;
    den.says(offers(granted(right)));
    let gate = den.sends(pieces(sent));
    let script = a.site.script(MAC, "s1").await;
    assert!(script.contains("kernel "), "{script}");
    (a, den, link, gate)
}

/// A machine downloads the kernel: its connection behind the head.
async fn downloads(a: &Town) -> TcpStream {
    let mut stream = TcpStream::connect(a.site.http).await.unwrap();
    let path = format!("/boot/n/{}/vmlinuz?s=s1", grant().nonce);
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(SOON, stream.read_u8()).await.unwrap().unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        head.to_lowercase().contains("content-length: 500000"),
        "{head}"
    );
    stream
}

async fn reads(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    timeout(SOON, stream.read_exact(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_bytes_reach_the_machine_while_the_others_are_still_on_their_way() {
    let right = kernel();
    let (a, _den, _link, gate) = served(&right, &right).await;
    let mut machine = downloads(&a).await;
    gate.add_permits(2);
    assert!(reads(&mut machine, 2 * PIECE).await == right[..2 * PIECE]);
    gate.add_permits(3);
    assert!(reads(&mut machine, 3 * PIECE).await == right[2 * PIECE..]);
    a.until("the boot is confirmed", |v| v.outgoing().count() == 1)
        .await;
    // The second time it is here.
    assert_eq!(
        a.site
            .get(&format!("/boot/n/{}/vmlinuz?s=s2", grant().nonce))
            .await
            .0,
        410
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_announced_longer_or_shorter_than_granted_does_not_begin_to_reach_the_machine()
 {
    let right = kernel();
    for sent in [&right[1..], &[&right[..], &[0]].concat()] {
        let (a, _den, _link, gate) = served(&right, sent).await;
        gate.add_permits(100);
        let path = format!("/boot/n/{}/vmlinuz?s=s1", grant().nonce);
        assert_eq!(a.site.get(&path).await.0, 404, "{} bytes", sent.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_boot_ended_is_told_until_its_owner_has_taken_note() {
    let right = kernel();
    let (a, den, _link, gate) = served(&right, &right).await;
    den.is_busy(true);
    let mut machine = downloads(&a).await;
    gate.add_permits(100);
    assert!(reads(&mut machine, right.len()).await == right);
    // Once in a second, and when something changes.
    a.until("it was told twice", |_| den.heard_ends() > 1).await;
    assert_eq!(a.site.view().outgoing().count(), 1, "it is kept");
    den.is_busy(false);
    a.until("nothing is left to tell", |v| v.outgoing().next().is_none())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_whose_last_byte_is_wrong_never_reaches_the_machine_whole_and_nothing_is_kept() {
    let right = kernel();
    let mut wrong = right.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let (a, _den, _link, gate) = served(&right, &wrong).await;
    let mut machine = downloads(&a).await;
    gate.add_permits(5);
    let mut got = Vec::new();
    // The connection breaks; whether by a reset or by its end, the promised length is not reached.
    let _broken = timeout(SOON, machine.read_to_end(&mut got)).await.unwrap();
    assert!(got.len() <= right.len() - (64 << 10), "{} bytes", got.len());
    assert!(right.starts_with(&got));
    a.until("it is told why", |v| {
        let mut events = v.events_after(0);
        events.any(|e| {
            e.draft.kind == "peer.file-broken" && e.draft.text.contains("other bytes for vmlinuz")
        })
    })
    .await;
    let kept = std::fs::read_dir(a.site.state.path().join("assets/peers")).unwrap();
    assert_eq!(kept.count(), 0);
    let view = a.site.view();
    let activation = view.activations().next().unwrap();
    assert!(activation.is_open(), "what did not arrive is no evidence");
    let (plan, last) = a.explains_by("last-time").await;
    let last = last.unwrap_or_default();
    assert!(
        plan == "config" && last.contains("site-x sent other bytes for vmlinuz"),
        "{plan}: {last}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_whose_link_broke_goes_on_where_it_was_and_the_machine_does_not_notice() {
    let right = kernel();
    let (a, den, _link, gate) = served(&right, &right).await;
    let mut machine = downloads(&a).await;
    gate.add_permits(2);
    assert!(reads(&mut machine, 2 * PIECE).await == right[..2 * PIECE]);
    a.federation().drop_links(&"site-x".parse().unwrap());
    gate.add_permits(100);
    assert!(reads(&mut machine, 3 * PIECE).await == right[2 * PIECE..]);
    drop(den);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_stops_coming_ends_as_a_broken_connection() {
    let right = kernel();
    let (a, den, link, gate) = served(&right, &right).await;
    let mut machine = downloads(&a).await;
    gate.add_permits(1);
    assert!(reads(&mut machine, PIECE).await == right[..PIECE]);
    let revoke = enforcer::state::ops::RevokePeer {
        site: "site-x".parse().unwrap(),
        by: "ann".to_owned(),
    };
    a.site.apply(revoke).await.unwrap();
    drop((den, link));
    let mut got = Vec::new();
    let _broken = timeout(2 * SOON, machine.read_to_end(&mut got))
        .await
        .unwrap();
    assert!(got.len() < right.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_other_sites_take_no_more_room_than_they_may_and_the_oldest_go() {
    let (a, b) = towns().await;
    let peers = a.site.state.path().join("assets/peers");
    let held = || -> u64 {
        let files = std::fs::read_dir(&peers).unwrap();
        files.map(|f| f.unwrap().metadata().unwrap().len()).sum()
    };
    let all: u64 = SIZES.iter().map(|(_, size)| *size as u64).sum();
    assert!(all <= CACHE && CACHE < 2 * all);
    b.arms("quiet").await;
    named(&a).await;
    let script = a.site.script(MAC, "s1").await;
    let nonce = a.site.view().activations().next().unwrap().nonce.clone();
    assert!(script.contains(&nonce.to_string()), "{script}");
    for (name, size) in SIZES {
        let (status, body) = a.site.get(&format!("/boot/n/{nonce}/{name}?s=s1")).await;
        assert_eq!((status, body == content(name, size)), (200, true), "{name}");
    }
    a.until("it is over", |v| v.activations().all(|x| !x.is_open()))
        .await;
    assert_eq!(held(), all);
    // Its owner hears of it by the outbox, a moment later.
    b.until("B knows too", |v| v.activations().all(|x| !x.is_open()))
        .await;
    // What is on its way of that would take the next grant back.
    a.until("B names it no more", |v| {
        v.peers_naming(MAC).next().is_none()
    })
    .await;
    // A second config of other files of the same sizes: one of the first ones has to go, since they are needed no more.
    b.arms_other().await;
    named(&a).await;
    let script = a.site.script(MAC, "s2").await;
    assert!(script.contains("kernel "), "{script}");
    let view = a.site.view();
    let second = view
        .activations()
        .find(|x| x.is_open())
        .unwrap()
        .nonce
        .clone();
    for (name, _) in SIZES {
        let (status, _) = a.site.get(&format!("/boot/n/{second}/{name}?s=s2")).await;
        assert_eq!(status, 200, "{name}");
    }
    a.until("it is over", |v| v.activations().all(|x| !x.is_open()))
        .await;
    assert!((all..=CACHE).contains(&held()), "{}", held());
}
