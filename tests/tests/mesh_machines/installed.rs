//! An installed OS brings its own agent: it joins by a token that somebody put on a second disk, as a deployment puts one into `cidata`.

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    fixture,
    lab::{
        BootFrom, ControllerPlan, Disk, Firmware, join_token,
        peers::ForeignDhcp,
        story,
        tenant::{self, Tenant},
    },
};
use std::fs;

use enforcer_tests::site::{Site, reset_at};

/// Network by hand, the token from the second disk, then the agent as on any Linux.
const SCRIPT: &str = "ip link set eth0 up
ip addr add 10.77.0.105/24 dev eth0
mkdir -p /var/lib
enforcer-agent join $(tr -d '\\000' </dev/vdb) --controller 10.77.0.1 && echo JOINED
enforcer-agent daemon >/dev/console 2>&1 &";

#[test]
fn an_installed_os_joins_by_token_once_and_is_rebooted_through_the_mesh() -> Result<()> {
    story("installed", |space| {
        let _foreign = ForeignDhcp::start(space)?;
        let site = Site {
            controller: ControllerPlan::new().start(space)?,
        };
        let token = join_token(&site.controller)?;
        let card = space.folder().file("token.img");
        let mut bytes = token.clone().into_bytes();
        bytes.resize(4096, 0);
        fs::write(&card, bytes)?;

        let tenant = Tenant::new("installed")
            .modules(&["virtio_pci", "virtio_net", "virtio_blk"])
            .file("/bin/enforcer-agent", fixture::agent()?)
            .script(SCRIPT);
        let plan = space.machine(5).firmware(Firmware::Bios);
        let plan = plan
            .disk(Disk::copy_of(tenant.image()?))
            .disk(Disk::at(&card));
        let mut machine = plan.boot(&[BootFrom::Disks]).power_on()?;
        machine.expect(tenant::line("installed", Firmware::Bios))?;
        machine.expect("JOINED")?;
        let mac = machine.mac();
        site.wait_alive(&mac)?;
        let shown = site.machine(&mac)?;
        ensure!(shown["level"] == "t2", "joined by token: {shown}");

        let skip = machine.events().len();
        site.enforcer(&["machines", "reboot", &mac])?;
        let down = reset_at(&machine, skip)?;
        let acknowledged = site.wait_event(&mac, "command.done")?;
        ensure!(
            acknowledged.at < down,
            "acknowledged at {:?}, down at {down:?}",
            acknowledged.at
        );

        // Its disk is RAM: the key is gone, and the token was for one time.
        machine.expect(tenant::line("installed", Firmware::Bios))?;
        let said = machine.expect("enforcer-agent: ")?;
        let text = machine.serial()?.text().to_owned();
        ensure!(
            text.matches("JOINED").count() == 1,
            "a token served twice: {said:?}"
        );
        let records = site.records(&mac)?;
        ensure!(records.len() == 1, "one machine, not {records:#?}");
        site.controller
            .cli(&["members", "list"])
            .context("members")
            .map(drop)
    })
}
