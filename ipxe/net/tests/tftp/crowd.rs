//! Many clients, and many who only look like some.

use ipxe_net::TftpEnd;

use crate::lab::{Client, Shelf, lab};

#[tokio::test]
async fn three_thousand_silent_requests_do_not_starve_an_honest_client() {
    let lab = lab();
    let honest = Client::at([127, 1, 1, 1], lab.server).await;
    honest
        .ask("ipxe.efi", "blksize\x001468\0windowsize\x004\0")
        .await;
    assert_eq!(honest.hear().await[1], 6);
    honest.ack(0).await;
    let flood = async {
        for address in 0..200 {
            for _ in 0..15 {
                // The socket is closed at once: nobody will ever answer.
                let silent = Client::at([127, 9, 0, address], lab.server).await;
                silent.ask("ipxe.efi", "tsize\x000\0").await;
            }
            tokio::task::yield_now().await;
        }
    };
    let ((), file) = tokio::join!(flood, honest.blocks(1468, 4));
    assert!(file == Shelf::file("ipxe.efi").expect("on the shelf"));
    let late = Client::at([127, 1, 1, 2], lab.server).await;
    let file = late.fetch("ipxe.efi", 4).await; // while every place is taken by a silent one
    assert!(file == Shelf::file("ipxe.efi").expect("on the shelf"));
    lab.shelf
        .until(|shelf| {
            let refused = |(.., end): &(String, u64, TftpEnd)| *end == TftpEnd::Refused;
            shelf.ends().into_iter().filter(refused).count() > 1000
        })
        .await;
}

#[tokio::test]
async fn an_address_has_sixteen_living_transfers_and_no_more() {
    let lab = lab();
    let mut living = Vec::new();
    for _ in 0..16 {
        let client = Client::at([127, 0, 0, 1], lab.server).await;
        client.ask("ipxe.efi", "").await;
        client.hear().await;
        client.ack(1).await;
        client.hear().await;
        living.push(client);
    }
    let extra = Client::at([127, 0, 0, 1], lab.server).await;
    extra.ask("small", "").await;
    lab.shelf
        .until(|shelf| shelf.drops("tftp_per_address") == 1)
        .await;
    let other = Client::at([127, 0, 0, 2], lab.server).await;
    assert!(other.fetch("small", 1).await == b"a few bytes");
    living[0].say(b"\0\x05\0\0enough\0").await;
    extra.ask("small", "").await; // it asks again, and there is room
    assert_eq!(extra.hear().await, b"\0\x03\0\x01a few bytes");
}
