//! Plans and the general script as the machine will read them.
//!
//! Every way out of a script ends at the local disk, also when the server dies while the script runs: each fetch has a
//! time limit, and the general script has put `localboot.efi` into memory before anything else (TRAPS, "Measured later").

use crate::{
    plan::{BootPlan, ConfigBoot, KernelBoot, LocalBoot},
    script::Script,
};

/// How long iPXE waits without progress for a script, ms. A dead host costs this once before the disk starts.
const CHAIN_TIMEOUT_MS: u32 = 5000;
/// How long the general script waits for the machine's own script, ms, and for that of the second try: with the pause between them and a second
/// for the disk's loader these stay below the ten seconds that a dead controller may cost. Peers are asked with a shorter deadline.
const ASK_TIMEOUTS_MS: (u32, u32) = (3000, 2000);
/// How long iPXE waits without progress for a kernel or initrd, ms: a busy server may pause longer than a script takes.
const FILE_TIMEOUT_MS: u32 = 15_000;
/// How long iPXE waits for the short fetch before `boot`, ms: when the server is gone meanwhile, the boot goes on.
const SETTLE_TIMEOUT_MS: u32 = 2000;

/// Where scripts send the machine and what they show.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// `http://10.0.0.1:4880`: the boot HTTP server as this machine reaches it.
    pub base: &'a str,
    /// The machine's name, for its screen.
    pub machine: &'a str,
    /// How this machine is sent to its disk when something fails.
    pub local: LocalBoot,
}

/// The general script `/boot.ipxe`, the same for every machine but for its random `session`.
#[must_use]
pub fn general_script(base: &str, session: &str) -> String {
    let mut s = Script::new();
    s.line(format_args!("set session {session}"))
        .line(format_args!("iseq ${{platform}} efi && imgfetch --timeout {CHAIN_TIMEOUT_MS} --name localboot {base}/firmware/localboot.efi ||"))
        .line(format_args!("set ask {base}/boot/${{netX/mac:hexhyp}}?session=${{session}}&uuid=${{uuid}}&serial=${{serial:uristring}}&arch=${{buildarch}}&platform=${{platform}}"))
        // From here on the way to the disk is in memory: whoever dies now, the disk starts within ten seconds.
        .echo(&format!("Enforcer: asking {base} what to boot"))
        .line(format_args!("chain --timeout {} --autofree --replace ${{ask}} ||", ASK_TIMEOUTS_MS.0))
        // A controller that is just restarting refuses at once; one more try costs an idle machine nothing.
        .line(format_args!("sleep 1"))
        .line(format_args!("chain --timeout {} --autofree --replace ${{ask}} ||", ASK_TIMEOUTS_MS.1))
        .echo("Enforcer does not answer: starting the local disk");
    local_disk(&mut s, LocalBoot::Auto);
    s.into_text()
}

/// A plan as a script. [`BootPlan::AskPeers`] must have been resolved; it and [`BootPlan::Silent`] end at the disk.
#[must_use]
pub fn render(plan: &BootPlan, around: Surroundings<'_>) -> String {
    let mut s = Script::new();
    match plan {
        BootPlan::Config(ConfigBoot::Kernel(kernel)) => {
            s.echo(&format!("Enforcer: {} boots its config", around.machine));
            kernel_lines(&mut s, kernel, around.base);
            failure(&mut s, around.local);
        }
        BootPlan::Config(ConfigBoot::Script(lines)) => {
            s.echo(&format!("Enforcer: {} boots its config", around.machine))
                .raw(lines);
            failure(&mut s, around.local);
        }
        BootPlan::Management(kernel) => {
            s.echo(&format!(
                "Enforcer: {} boots the management OS",
                around.machine
            ));
            kernel_lines(&mut s, kernel, around.base);
            // DESIGN §4.3: a failed download of the management OS goes on with the next step.
            s.label("failed").line(format_args!(
                "chain --timeout {CHAIN_TIMEOUT_MS} --autofree --replace ${{ask}}&after=management ||"
            ));
            local_disk(&mut s, around.local);
        }
        BootPlan::LocalDisk(local) => {
            s.echo(&format!("Enforcer: {} boots its own disk", around.machine));
            local_disk(&mut s, *local);
        }
        BootPlan::AskPeers | BootPlan::Silent => local_disk(&mut s, around.local),
    }
    s.into_text()
}

/// Loads kernel and initrds, then starts them; any failure goes to `:failed`.
fn kernel_lines(s: &mut Script, boot: &KernelBoot, base: &str) {
    // Builds before 2023 need `initrd=` by name on UEFI (TRAPS 26); BIOS ignores it.
    let names: String = boot
        .initrds
        .iter()
        .map(|i| format!(" initrd={}", i.name))
        .collect();
    let fetch = format!("--timeout {FILE_TIMEOUT_MS} --name");
    s.line(format_args!(
        "kernel {fetch} {} {base}{}{names} {} || goto failed",
        boot.kernel.name, boot.kernel.path, boot.cmdline
    ));
    for initrd in &boot.initrds {
        s.line(format_args!(
            "initrd {fetch} {} {base}{} || goto failed",
            initrd.name, initrd.path
        ));
    }
    // TCP alone does not tell the server that the last file arrived: this iPXE may start the kernel before it acknowledges
    // the last bytes (measured on UEFI, 2019 build). The script comes to this line only when every file was complete.
    if let Some(loaded) = &boot.loaded {
        s.line(format_args!(
            "imgfetch --timeout {SETTLE_TIMEOUT_MS} --name loaded {base}{loaded} ||"
        ))
        .line(format_args!("imgfree loaded ||"));
    }
    // Other images in memory would be handed to Linux as initrds; from here on the way back is the firmware's.
    s.line(format_args!("imgfree localboot ||"))
        .line(format_args!("boot || goto failed"));
}

fn failure(s: &mut Script, local: LocalBoot) {
    s.label("failed")
        .echo("Enforcer: the boot config could not be started: starting the local disk");
    local_disk(s, local);
}

/// Ends a script at the machine's own disk.
fn local_disk(s: &mut Script, local: LocalBoot) {
    match local {
        LocalBoot::Auto => s
            .line(format_args!("iseq ${{platform}} efi && goto efi ||"))
            .line(format_args!("sanboot --no-describe --drive 0x80 ||"))
            .line(format_args!("exit"))
            .label("efi")
            .line(format_args!("chain localboot ||"))
            .line(format_args!("exit 1")),
        LocalBoot::Sanboot => s
            .line(format_args!("sanboot --no-describe --drive 0x80 ||"))
            .line(format_args!("exit")),
        LocalBoot::Exit => s.line(format_args!("exit")),
        LocalBoot::ExitFailure => s.line(format_args!("exit 1")),
        LocalBoot::Localboot => s
            .line(format_args!("chain localboot ||"))
            .line(format_args!("exit 1")),
    };
}
