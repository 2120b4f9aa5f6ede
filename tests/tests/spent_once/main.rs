//! One-shot activations on real firmware: whatever is cut or killed, the machine gets the same boot again until its evidence
//! is there; then the activation is closed, once, and the machine's own disk starts.

mod installer;
mod site;

use anyhow::Result;
use enforcer_tests::lab::{
    Firmware,
    peers::Throttle,
    re, story,
    tenant::{self, Tenant, Then},
};
use site::Site;

/// Slow enough to pull a plug in the middle of an 8 MB kernel, kbit/s.
const SLOW: u32 = 4000;

#[test]
fn files_that_were_fetched_close_it_after_power_cuts_and_a_killed_controller() -> Result<()> {
    story("once-fetched", |space| {
        let mut site = Site::open(space, Firmware::Bios)?;
        site.tenant(&Tenant::new("once"), "fetched", "")?;
        let nonce = site.nonce()?;
        site.controller.kill9();
        site.controller.restart()?;
        assert_eq!(site.nonce()?, nonce, "killed before it served anything");

        site.machine.power_on()?;
        let slow = Throttle::machine(space.home(), site.machine.id(), SLOW)?;
        site.wait_event("activation.served")?;
        site.machine.power_cycle()?;
        site.machine.expect("boots its config")?;
        site.machine.expect(re(r"linux.*\.\.\. +[1-9]"))?;
        site.controller.kill9();
        site.machine.cut();
        site.controller.restart()?;
        assert_eq!(
            site.nonce()?,
            nonce,
            "cut and killed in the kernel download"
        );
        assert_eq!(site.stage()?, "served");
        drop(slow);

        site.machine.power_on()?;
        site.machine.expect(tenant::line("once", Firmware::Bios))?;
        site.wait_event("activation.confirmed")?;
        site.machine.reset()?;
        site.expect_disk()?;
        assert_eq!(site.count("activation.confirmed")?, 1);
        assert_eq!(site.stage()?, "confirmed");
        Ok(())
    })
}

#[test]
fn a_callback_closes_it_after_a_killed_controller_and_a_cut_before_the_call() -> Result<()> {
    story("once-callback", |space| {
        let mut site = Site::open(space, Firmware::Uefi)?;
        // Long enough for the story to pull the plug before the call.
        let call = "sleep 3\nip link set eth0 up\nip addr add 10.77.0.101/24 dev eth0\n\
             url=$(sed 's/.*done=\\([^ ]*\\).*/\\1/' /proc/cmdline)\n\
             until wget -q -O /reply $url; do sleep 1; done\necho CALLED-BACK";
        let caller = Tenant::new("caller")
            .modules(&["virtio_pci", "virtio_net"])
            .script(call);
        site.tenant(&caller, "callback", "done={{ done }}")?;
        let nonce = site.nonce()?;

        site.machine.power_on()?;
        let slow = Throttle::machine(space.home(), site.machine.id(), SLOW)?;
        site.wait_event("activation.fetching")?;
        site.controller.kill9();
        site.expect_disk()?;
        drop(slow);
        site.controller.restart()?;
        assert_eq!(site.nonce()?, nonce, "killed while it served the kernel");

        site.machine.power_cycle()?;
        site.machine
            .expect(tenant::line("caller", Firmware::Uefi))?;
        site.machine.cut();
        assert_eq!(site.nonce()?, nonce, "cut before the call");
        assert_eq!(site.stage()?, "running");

        site.machine.power_on()?;
        site.machine.expect("CALLED-BACK")?;
        site.machine.reset()?;
        site.expect_disk()?;
        assert_eq!(site.count("activation.confirmed")?, 1);
        assert_eq!(site.stage()?, "confirmed");
        Ok(())
    })
}

#[test]
fn a_system_that_reboots_without_a_word_is_given_up_after_three_boots() -> Result<()> {
    story("once-capped", |space| {
        let mut site = Site::open(space, Firmware::Bios)?;
        site.tenant(&Tenant::new("loop").then(Then::Reboot), "callback", "")?;
        site.machine.power_on()?;
        for _ in 0..3 {
            site.machine.expect(tenant::line("loop", Firmware::Bios))?;
        }
        site.machine
            .serial()?
            .forbid(tenant::line("loop", Firmware::Bios));
        site.expect_disk()?;
        assert_eq!(site.count("activation.failed")?, 1);
        assert_eq!(site.stage()?, "failed");
        Ok(())
    })
}
