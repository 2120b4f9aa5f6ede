//! The TFTP server as clients meet it, on loopback.

mod crowd;
mod lab;

use std::net::{Ipv4Addr, SocketAddr};

use ipxe_net::{TftpEnd, TftpServer};
use tokio::time::timeout;

use lab::{Client, PATIENCE, Shelf, lab, lab_at};

#[tokio::test]
async fn files_arrive_whole_with_any_window() {
    let lab = lab();
    let client = Client::at([127, 0, 0, 1], lab.server).await;
    for name in ["ipxe.efi", "small", "empty"] {
        let whole = Shelf::file(name).expect("on the shelf");
        for windowsize in [1, 4, 64] {
            assert!(
                client.fetch(name, windowsize).await == whole,
                "{name} {windowsize}"
            );
        }
        client.ask(name, "").await;
        assert!(client.blocks(512, 1).await == whole, "{name}");
    }
    lab.shelf.until(|shelf| shelf.ends().len() == 12).await;
    let ends = lab.shelf.ends();
    assert!(
        ends.iter().all(|(.., end)| *end == TftpEnd::Complete),
        "{ends:?}"
    );
    assert_eq!(ends[0].1, 300_000);
}

#[tokio::test]
async fn after_the_size_probe_the_file_comes_at_once_to_the_same_port() {
    let lab = lab();
    let client = Client::at([127, 0, 0, 1], lab.server).await;
    for round in 0..3 {
        client
            .ask("ipxe.efi", "tsize\x000\0blksize\x001468\0")
            .await;
        assert_eq!(
            client.hear().await,
            b"\0\x06blksize\x001468\0tsize\x00300000\0"
        );
        // Some firmware says ERROR, some just asks for the file.
        if round != 1 {
            client.say(b"\0\x05\0\x08User aborted the transfer\0").await;
        }
        let file = client.fetch("ipxe.efi", 4).await;
        assert!(file == Shelf::file("ipxe.efi").expect("on the shelf"));
    }
    lab.shelf.until(|shelf| shelf.ends().len() == 6).await;
    let probes: Vec<_> = lab.shelf.ends().into_iter().step_by(2).collect();
    let expected = [TftpEnd::Aborted, TftpEnd::Restarted, TftpEnd::Aborted];
    assert_eq!(probes, expected.map(|end| ("ipxe.efi".to_owned(), 0, end)));
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_not_a_second_transfer() {
    let lab = lab();
    let client = Client::at([127, 0, 0, 1], lab.server).await;
    client.ask("small", "tsize\x000\0").await;
    let oack = client.hear().await;
    client.ask("small", "tsize\x000\0").await;
    assert_eq!(client.hear().await, oack);
    client.ack(0).await;
    assert_eq!(client.hear().await, b"\0\x03\0\x01a few bytes");
    client.ack(1).await;
    lab.shelf.until(|shelf| !shelf.ends().is_empty()).await;
    assert_eq!(
        lab.shelf.ends(),
        [("small".to_owned(), 11, TftpEnd::Complete)]
    );
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_answered_at_once() {
    let lab = lab();
    let client = Client::at([127, 0, 0, 1], lab.server).await;
    client.ask("12345678/start4.elf", "tsize\x000\0").await;
    assert_eq!(client.hear().await, b"\0\x05\0\x01no such file\0");
    client.ask("../../etc/shadow", "").await;
    assert_eq!(client.hear().await[..4], *b"\0\x05\0\x02");
    client.say(b"\0\x02small\0octet\0").await;
    assert_eq!(client.hear().await[..4], *b"\0\x05\0\x02");
    client.say(b"\0\x01small\0mail\0").await;
    assert_eq!(client.hear().await[..4], *b"\0\x05\0\x04");
    lab.shelf
        .until(|shelf| shelf.drops("tftp_malformed") == 2 && shelf.drops("tftp_write") == 1)
        .await;
    assert_eq!(
        lab.shelf.ends(),
        [("12345678/start4.elf".to_owned(), 0, TftpEnd::NotFound)]
    );
}

#[tokio::test]
async fn strays_are_counted_and_not_answered() {
    let lab = lab();
    let client = Client::at([127, 0, 0, 1], lab.server).await;
    client.ack(7).await;
    client.say(b"\0\x05\0\0\0").await;
    client.say(b"\0\x03\0\x01data").await;
    client.say(b"").await;
    client.say(&[0xff; 4000]).await;
    lab.shelf
        .until(|shelf| shelf.drops("tftp_stray") == 2 && shelf.drops("tftp_malformed") >= 2)
        .await;
    assert!(client.fetch("small", 1).await == b"a few bytes"); // the first thing it hears
}

#[tokio::test]
async fn the_answer_comes_from_the_address_that_was_asked() {
    let lab = lab_at([0, 0, 0, 0]);
    for last in [1, 7, 9] {
        let asked = SocketAddr::from(([127, 0, 0, last], lab.server.port()));
        let client = Client::at([127, 0, 0, 1], asked).await;
        assert!(client.fetch("small", 1).await == b"a few bytes");
    }
}

#[tokio::test]
async fn a_request_to_a_broadcast_address_is_not_answered_and_harms_nobody() {
    let lab = lab_at([0, 0, 0, 0]);
    let port = lab.server.port();
    let loud = Client::at(
        [127, 0, 0, 1],
        (Ipv4Addr::new(127, 255, 255, 255), port).into(),
    )
    .await;
    loud.socket.set_broadcast(true).expect("allowed");
    loud.ask("ipxe.efi", "windowsize\x0016\0").await;
    lab.shelf
        .until(|shelf| shelf.drops("tftp_unsendable") == 1)
        .await;
    let client = Client::at([127, 0, 0, 2], (Ipv4Addr::LOCALHOST, port).into()).await;
    let file = client.fetch("ipxe.efi", 16).await;
    assert!(file == Shelf::file("ipxe.efi").expect("on the shelf"));
    assert!(loud.socket.try_recv(&mut [0; 16]).is_err());
}

#[tokio::test]
async fn a_taken_port_is_an_error_at_the_start() {
    let lab = lab();
    let error = TftpServer::bind(lab.server).expect_err("taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn what_is_not_answered_is_sent_again_without_anybody_else_coming() {
    let lab = lab();
    let client = Client::at([127, 0, 0, 1], lab.server).await;
    client.ask("small", "").await;
    assert_eq!(client.hear().await, b"\0\x03\0\x01a few bytes");
    assert_eq!(client.hear().await, b"\0\x03\0\x01a few bytes"); // a second later
}

#[tokio::test]
async fn it_stops_when_told_though_nobody_comes_and_gives_the_port_back() {
    let mut lab = lab();
    lab.stop.cancel();
    let stopped = timeout(PATIENCE, &mut lab.running).await;
    assert!(stopped.expect("it hears of it").is_ok());
    TftpServer::bind(lab.server).expect("free again");
}
