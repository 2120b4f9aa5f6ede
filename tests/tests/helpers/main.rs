//! Boot helpers on a real wire: agents on a segment that the controller is not on (docs/HELPERS.md).

mod away;
mod machine;
mod room;

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    lab::{Asks, ControllerPlan, Space, Station, machine_mac, story},
    site::Site,
};

use room::{ROM_PAUSE, Room};

/// A machine that asks at home, where the controller hears it by itself.
const NEAR: u8 = 9;
/// DISCOVERs that are timed, on each wire; a station may ask twenty times a second.
const ROUNDS: usize = 15;
/// What a helper may add beside the round trip (issue 5), for the report.
const ADDED_MS: f64 = 5.0;
/// A busy host, and a program that is not optimised: more than this is a helper that waits for something.
const FAR_TOO_MUCH_MS: f64 = 250.0;

/// Some bytes, as no two files have them.
pub(crate) fn kernel(seed: u8) -> Vec<u8> {
    (0..3_000_000_u32)
        .map(|n| seed ^ n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect()
}

#[test]
fn of_two_helpers_one_answers_each_machine_and_when_it_dies_the_other_does() -> Result<()> {
    story("helpers-two", |space| {
        let site = Site {
            controller: ControllerPlan::new().start(space)?,
        };
        let mut room = Room::open(space, site, 2)?;
        let [first, second, third] = room.register()?;
        let without = room.boot_offers(&first, Asks::Bios)?;
        ensure!(without.is_empty(), "nobody has the role: {without:?}");
        room.give_roles()?;
        for mac in [&first, &second] {
            one_answer(&room, mac)?;
        }
        files_come_through(&room, &third)?;
        time_of_a_question(&room, &second)?;
        taken_over(&mut room, &first)
    })
}

/// Each kind of firmware gets one offer, of its own program.
fn one_answer(room: &Room<'_>, mac: &str) -> Result<()> {
    for asks in [Asks::Bios, Asks::Uefi, Asks::Ipxe] {
        let offer = room.one_offer(mac, asks)?;
        let file = match asks {
            Asks::Bios => "undionly.kpxe".to_owned(),
            Asks::Uefi => "snponly.efi".to_owned(),
            Asks::Ipxe => room.helpers[room.by(&offer)?].url("/boot.ipxe"),
        };
        ensure!(offer.file == file, "{asks:?}: {offer:?}");
    }
    Ok(())
}

/// Boot programs by TFTP, a config by HTTP; each file comes over the link once and is kept by its hash, and what was fetched is spent.
fn files_come_through(room: &Room<'_>, mac: &str) -> Result<()> {
    let helper = &room.helpers[0];
    let program = format!("tftp://{}/undionly.kpxe", helper.plan.address);
    let firmware = room.site.controller.state().join("firmware/undionly.kpxe");
    let (_, bytes) = room.station.fetch(&program)?;
    ensure!(bytes == fs::read(&firmware)?, "another program by TFTP");
    let general = room.station.text(&helper.url("/boot.ipxe"))?;
    ensure!(general.contains(&helper.url("/boot/")), "{general}");

    room.boots(0, mac, "before")?.is_disk()?;
    let bytes = kernel(1);
    let sha256 = room.config("live", &bytes)?;
    room.site
        .enforcer(&["boot-configs", "activate", "live", mac])?;
    room.boots(0, mac, "first")?.is_config(&bytes)?;
    room.site.wait_event(mac, "activation.confirmed")?;
    let told = room.site.events(mac)?;
    let through = |text: &str| text.contains("its boot config through ");
    ensure!(told.iter().any(|e| through(&e.text)), "{told:?}");
    room.boots(0, mac, "second")?.is_disk()?;
    let kept: Vec<bool> = room.helpers.iter().map(|h| h.keeps(&sha256)).collect();
    ensure!(kept == [true, false], "kept by who served it: {kept:?}");
    Ok(())
}

/// What a helper adds to an answer, beside the controller's own on its own wire.
fn time_of_a_question(room: &Room<'_>, mac: &str) -> Result<()> {
    let near_mac = machine_mac(NEAR);
    room.site
        .enforcer(&["machines", "register", &near_mac, "--name", "near"])?;
    let host = room.space.home().host("near", [10, 77, 0, 60].into())?;
    let near = Station::new(host, room.space.folder().clone());
    let ask = |station: &Station, mac: &str| -> Result<f64> {
        let offer = station.boot_offer(mac, Asks::Ipxe, ROM_PAUSE)?;
        Ok(offer.context("no offer")?.after_ms)
    };
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        direct.push(ask(&near, &near_mac)?);
        through.push(ask(&room.station, mac)?);
    }
    let (direct, through) = (middle(direct), middle(through));
    let rtt = round_trip_ms(room)?;
    let added = through - direct;
    eprintln!(
        "an offer takes {direct:.1} ms at home and {through:.1} ms through a helper: {added:.1} ms more, of which the round trip is {rtt:.2} \
         (promised: at most {:.1})",
        rtt + ADDED_MS
    );
    ensure!(added <= rtt + FAR_TOO_MUCH_MS, "{added:.1} ms more");
    Ok(())
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Between a helper and the controller: the middle figure of ping's last line, `min/avg/max`.
fn round_trip_ms(room: &Room<'_>) -> Result<f64> {
    let controller = Space::CONTROLLER.to_string();
    let host = &room.helpers[0].plan.host;
    let said = host.run("busybox", &["ping", "-q", "-c2", &controller])?;
    let average = said.rsplit(" = ").next().and_then(|r| r.split('/').nth(1));
    Ok(average.with_context(|| said.clone())?.parse()?)
}

/// Whoever answers a machine is killed; the other takes over, and so back: each alone would have answered.
fn taken_over(room: &mut Room<'_>, mac: &str) -> Result<()> {
    let first = room.one_offer(mac, Asks::Bios)?;
    let first = room.by(&first)?;
    for dying in [first, 1 - first] {
        room.helpers[dying].kill()?;
        let (died, mut asked) = (Instant::now(), 0);
        let offer = loop {
            asked += 1;
            let offer = room.station.boot_offer(mac, Asks::Bios, ROM_PAUSE)?;
            if let Some(offer) = offer {
                break offer;
            }
            ensure!(asked < 2, "{asked} DISCOVERs after a helper died: silence");
        };
        ensure!(room.by(&offer)? == 1 - dying, "a dead helper: {offer:?}");
        let took = died.elapsed();
        eprintln!(
            "a helper was killed: DISCOVER {asked} is answered by the other, after {took:.1?}"
        );
        room.helpers[dying].start()?;
    }
    room.wait_serving()?;
    room.one_offer(mac, Asks::Bios).map(drop)
}

/// An error unless `took` is at most `limit`.
pub(crate) fn within(what: &str, took: Duration, limit: Duration) -> Result<()> {
    eprintln!("{what}: {:.2} s", took.as_secs_f32());
    ensure!(took <= limit, "{what}: {took:?} is more than {limit:?}");
    Ok(())
}
