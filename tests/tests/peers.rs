//! Peers on the wire: the foreign DHCP server, the relay behind a router, the capture, and each first stage against the reference chain.

use anyhow::Result;
use enforcer_tests::lab::peers::{
    Capture, Cut, ForeignDhcp, Nginx, ReferencePlan, Relay, Throttle,
};
use enforcer_tests::lab::{Firmware, FirstStage, MachinePlan, Namespace, Nic, Space, wait_until};
use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const SCRIPT: &str = "#!ipxe\necho REFERENCE-SAYS ${platform} ${net0/ip}\nsleep 100\n";

#[test]
fn the_foreign_server_gives_an_address_and_nothing_to_boot() -> Result<()> {
    let space = Space::new("foreign")?;
    let foreign = ForeignDhcp::start(&space)?;
    let capture = Capture::boot(space.home())?;
    let mut machine = space.machine(1).ram_mib(256).power_on()?;
    machine.expect("10.77.0.101")?;
    assert!(
        foreign
            .log()
            .contains("DHCPACK(eth0) 10.77.0.101 52:54:00:77:00:01"),
        "{}",
        foreign.log()
    );
    machine.expect("Nothing to boot")?;
    let packets = capture.text()?;
    assert!(
        packets.contains("Client-Ethernet-Address 52:54:00:77:00:01"),
        "{packets}"
    );
    Ok(())
}

#[test]
fn the_relay_forwards_from_the_far_segment_with_option_82() -> Result<()> {
    let space = Space::new("relay")?;
    let far = space.far_segment()?;
    let capture = Capture::boot(space.home())?;
    let mut machine = MachinePlan::new(far.clone(), 7).ram_mib(256).power_on()?;
    machine.expect("iPXE")?;
    // negative control: without a relay no broadcast crosses the router
    let asked = |packets: &str| packets.contains("52:54:00:77:00:07");
    machine
        .serial()?
        .expect("Configuring", Duration::from_secs(30))?;
    assert!(!asked(&capture.text()?));
    let _relay = Relay::start(&far)?;
    let packets = wait_until("a relayed DISCOVER", Duration::from_secs(60), || {
        Ok(Some(capture.text()?).filter(|packets| asked(packets)))
    })?;
    assert!(
        packets.contains("10.77.0.3.67 > 10.77.0.1.67") && packets.contains("Gateway-IP 10.78.0.1"),
        "{packets}"
    );
    assert!(packets.contains("Agent-Information"), "{packets}");
    Ok(())
}

fn first_stage_boots_the_script(
    firmware: Firmware,
    stage: FirstStage,
    nic: Nic,
    says: &str,
) -> Result<()> {
    let space = Space::new("stage")?;
    let _reference = ReferencePlan::new(SCRIPT).start(&space)?;
    let plan = space
        .machine(2)
        .firmware(firmware)
        .first_stage(stage)
        .nic(nic)
        .ram_mib(256);
    let hit = plan.power_on()?.expect(says)?;
    println!("{firmware:?} {stage:?} {nic:?}: {:?}", hit.at);
    Ok(())
}

#[test]
fn a_bios_rom_on_e1000_boots_the_script() -> Result<()> {
    first_stage_boots_the_script(
        Firmware::Bios,
        FirstStage::RomIpxe,
        Nic::E1000,
        "REFERENCE-SAYS pcbios 10.77.0.102",
    )
}

#[test]
fn ovmf_pxe_boots_the_script() -> Result<()> {
    first_stage_boots_the_script(
        Firmware::Uefi,
        FirstStage::OvmfPxe,
        Nic::Virtio,
        "REFERENCE-SAYS efi 10.77.0.102",
    )
}

#[test]
fn ovmf_http_boots_the_script() -> Result<()> {
    first_stage_boots_the_script(
        Firmware::Uefi,
        FirstStage::OvmfHttp,
        Nic::Virtio,
        "REFERENCE-SAYS efi 10.77.0.102",
    )
}

#[test]
fn an_ipxe_driver_in_ovmf_boots_the_script() -> Result<()> {
    first_stage_boots_the_script(
        Firmware::Uefi,
        FirstStage::RomIpxe,
        Nic::E1000,
        "REFERENCE-SAYS efi 10.77.0.102",
    )
}

#[test]
fn a_throttled_cable_takes_its_time_and_is_fast_again_after() -> Result<()> {
    let space = Space::new("throttle")?;
    let root = space.folder().file("web");
    fs::create_dir_all(&root)?;
    fs::write(root.join("file"), vec![7; 128 * 1024])?;
    let _nginx = Nginx::start(space.home(), 8080, &root)?;
    let host = space.home().host("slow", Space::FOREIGN)?;
    let fetch = || -> Result<Duration> {
        let started = Instant::now();
        host.run(
            "curl",
            &[
                "-sS",
                "--fail",
                "-o",
                "/dev/null",
                "http://10.77.0.1:8080/file",
            ],
        )?;
        Ok(started.elapsed())
    };
    let throttle = Throttle::host(space.home(), "slow", 1000)?;
    let slow = fetch()?;
    drop(throttle);
    let fast = fetch()?;
    // 128 KiB less the burst at 1 Mbit/s are 0.9 s
    assert!(
        slow >= Duration::from_millis(850) && fast < slow / 3,
        "slow {slow:?}, fast {fast:?}"
    );
    Ok(())
}

#[test]
fn http_requests_from_inside_give_status_and_body() -> Result<()> {
    let space = Space::new("http")?;
    let root = space.folder().file("web");
    fs::create_dir_all(&root)?;
    fs::write(root.join("file"), "one\ntwo\n")?;
    let _nginx = Nginx::start(space.home(), 8080, &root)?;
    assert_eq!(
        space.http("GET", "http://10.77.0.1:8080/file", "")?,
        (200, "one\ntwo\n".to_owned())
    );
    assert_eq!(space.http("HEAD", "http://10.77.0.1:8080/file", "")?.0, 200);
    assert_eq!(
        space.http("POST", "http://10.77.0.1:8080/file", "{}")?.0,
        405
    );
    assert!(space.http_get("http://10.77.0.1:8080/none").is_err());
    Ok(())
}

#[test]
fn a_wire_that_is_cut_in_two_carries_nothing_across_until_it_is_whole_again() -> Result<()> {
    let space = Space::new("cut")?;
    let [one, two] = [21, 22].map(|last| Ipv4Addr::new(10, 77, 0, last));
    let left = space.home().host("left", one)?;
    let right = space.home().host("right", two)?;
    space
        .home()
        .acquaint(&[(left.clone(), one), (right.clone(), two)])?;
    let ping = |host: &Namespace, to: Ipv4Addr| {
        let args = ["ping", "-c1", "-W1", &to.to_string()];
        host.run("busybox", &args).is_ok()
    };
    assert!(ping(&left, two) && ping(&left, Space::CONTROLLER));
    let cut = Cut::between(space.home(), &[one, Space::CONTROLLER], &[two])?;
    assert!(!ping(&left, two) && !ping(&right, one) && !ping(&right, Space::CONTROLLER));
    assert!(ping(&left, Space::CONTROLLER), "one side stays whole");
    drop(cut);
    assert!(ping(&left, two));
    let known = left.run("ip", &["neigh", "show", &two.to_string()])?;
    assert!(known.contains("PERMANENT"), "{known}");
    Ok(())
}
