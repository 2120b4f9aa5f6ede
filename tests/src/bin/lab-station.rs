//! `lab-station MAC bios|uefi|ipxe MILLISECONDS [first]`: one station's DISCOVER, and the OFFERs that came within that time as JSON
//! on standard output; with `first` it ends with the first one that names something to boot.

use std::{
    env,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use enforcer_tests::{
    dhcp,
    lab::{Asks, Offer},
};

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (mac, asks, ms, first) = match *args.as_slice() {
        [mac, asks, ms] => (mac, asks, ms, false),
        [mac, asks, ms, "first"] => (mac, asks, ms, true),
        _ => bail!("usage: see the first lines of lab-station.rs"),
    };
    let asks = Asks::named(asks).context("bios, uefi or ipxe")?;
    let window = Duration::from_millis(ms.parse()?);
    let offers = offers(station(mac)?, asks, window, first)?;
    println!("{}", serde_json::to_string(&offers)?);
    Ok(())
}

fn offers(mac: [u8; 6], asks: Asks, window: Duration, first: bool) -> Result<Vec<Offer>> {
    let socket = dhcp::open()?;
    // No two runs on one wire have the same at the same time.
    let xid = std::process::id();
    let question = dhcp::request(mac, xid, dhcp::DISCOVER, asks.options());
    let (asked, mut offers) = (Instant::now(), Vec::new());
    socket.send_to(&question, dhcp::SERVERS)?;
    let (mut buffer, mut is_over) = ([0; 2048], false);
    while !is_over && asked.elapsed() < window {
        // The socket gives up several times a second.
        let Ok(length) = socket.recv(&mut buffer) else {
            continue;
        };
        let offer = offer(&buffer[..length], xid, asked.elapsed());
        is_over = first && offer.as_ref().is_some_and(|offer| offer.boots);
        offers.extend(offer);
    }
    Ok(offers)
}

/// The message, if it is an answer to this question.
fn offer(message: &[u8], xid: u32, after: Duration) -> Option<Offer> {
    let is_ours = dhcp::xid(message) == Some(xid);
    if !is_ours || dhcp::option(message, 53)? != [dhcp::OFFER] {
        return None;
    }
    let server: [u8; 4] = dhcp::option(message, 54)?.try_into().ok()?;
    let next: [u8; 4] = message.get(20..24)?.try_into().ok()?;
    let header = message.get(108..236)?;
    let file = dhcp::option(message, 67).unwrap_or(header);
    let end = file.iter().position(|byte| *byte == 0);
    let class = dhcp::option(message, 60).unwrap_or_default();
    Some(Offer {
        server: Ipv4Addr::from(server),
        next: Ipv4Addr::from(next),
        boots: class.starts_with(b"PXEClient"),
        file: String::from_utf8_lossy(&file[..end.unwrap_or(file.len())]).into_owned(),
        after_ms: after.as_secs_f64() * 1e3,
    })
}

fn station(text: &str) -> Result<[u8; 6]> {
    let octets = text.split(':').map(|octet| u8::from_str_radix(octet, 16));
    let octets: Vec<u8> = octets.collect::<Result<_, _>>()?;
    ensure!(octets.len() == 6, "{text} is no Ethernet address");
    octets.try_into().ok().context("six octets")
}
