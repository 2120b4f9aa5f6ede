//! Everything that crosses the wire while a machine boots, joins, is accepted and rebooted: what a listener has in the end.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    fixture::Flavour,
    lab::{
        AgentPlan, Firmware, Space, built, join_token, output,
        peers::{Capture, ForeignDhcp},
        re, story,
    },
};

use crate::site::{DISCOVER, READY_LIMIT, Site, reset_at};

/// What must not be heard, each with a name.
type Secrets = Vec<(String, Vec<u8>)>;

/// Whether the capture holds these bytes anywhere.
fn holds(capture: &[u8], bytes: &[u8]) -> bool {
    let Some((first, rest)) = bytes.split_first() else {
        return true;
    };
    let mut from = capture;
    while let Some(at) = from.iter().position(|byte| byte == first) {
        from = &from[at + 1..];
        if from.starts_with(rest) {
            return true;
        }
    }
    false
}

/// The lines of a private key in PEM, as text and as bytes.
fn key_lines(name: &str, text: &str) -> Secrets {
    let Some((_, rest)) = text.split_once("PRIVATE KEY-----") else {
        return Vec::new();
    };
    let lines = rest
        .split(['\n', '\\'])
        .map(|line| line.trim_start_matches('n'));
    let lines = lines.skip(1).take_while(|line| !line.starts_with("-----"));
    // The first line of a PKCS#8 key is its algorithm, the same in all.
    let lines = lines.skip(1).filter(|line| line.len() > 16);
    lines.map(|line| (name.to_owned(), line.into())).collect()
}

/// Private keys and ring keys below a folder, whatever their files are called.
fn keys_below(folder: &Path) -> Result<Secrets> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(keys_below(&path)?);
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.extend(key_lines(&path.display().to_string(), &text));
        }
    }
    Ok(found)
}

/// The boot's secret as it went over the wire in the script: PXE has no other way.
fn boot_secret(capture: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(capture);
    let (_, rest) = text
        .split_once("enforcer.secret=")
        .context("no secret in the script")?;
    let secret: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    ensure!(secret.len() == 32, "a secret of {} digits", secret.len());
    Ok(secret)
}

/// Tries to have a key certified with a boot's secret, from another address than the machine's.
fn enrol_with(space: &Space, name: &str, mac: &str, secret: &str) -> Result<String> {
    let last = if name == "thief" { 66 } else { 67 };
    let host = space
        .home()
        .host(name, std::net::Ipv4Addr::new(10, 77, 0, last))?;
    let program = built("lab-mesh").context("lab-mesh is not built")?;
    let mut command = host.command(program);
    command.args(["enrol", &format!("{}:4848", Space::CONTROLLER), mac, secret]);
    output(command)
}

#[test]
fn a_listener_on_the_wire_has_no_secret_that_still_opens_anything() -> Result<()> {
    story("listener", |space| {
        let _foreign = ForeignDhcp::start(space)?;
        let site = Site::open(space, DISCOVER, Flavour::Virtio)?;
        let capture = Capture::start(space.home(), "everything", &[])?;
        let address = std::net::Ipv4Addr::new(10, 77, 0, 65);
        let host = space.home().host("installed", address)?;
        let agent = AgentPlan::new(host, address, space.folder().path(), 65)?;
        let token = join_token(&site.controller)?;
        agent.join(Space::CONTROLLER, &token)?;
        let _daemon = agent.start()?;

        let mut machine = space.machine(1).firmware(Firmware::Bios).power_on()?;
        let mac = machine.mac();
        machine
            .serial()?
            .expect(re("ENFORCER READY"), READY_LIMIT)?;
        site.wait_alive(&mac)?;
        let stolen = boot_secret(&fs::read(capture.file())?)?;
        let thief = enrol_with(space, "thief", &mac, &stolen)?;
        ensure!(thief.starts_with("refused"), "used and stolen: {thief}");
        ensure!(
            site.member(&mac)?.as_deref() == Some("alive"),
            "the machine keeps its link"
        );

        site.enforcer(&["machines", "accept", &mac])?;
        let skip = machine.events().len();
        site.enforcer(&["machines", "reboot", &mac])?;
        reset_at(&machine, skip)?;
        machine.cut();
        let late = enrol_with(space, "late", &mac, &stolen)?;
        ensure!(late.starts_with("refused"), "after the boot: {late}");

        let heard = fs::read(capture.stop())?;
        let mut secrets = keys_below(&site.controller.state().join("ca"))?;
        secrets.extend(keys_below(&agent.folder.join("state"))?);
        ensure!(
            secrets.len() >= 2,
            "the CA's and the agent's key: {secrets:?}"
        );
        secrets.push(("the join token".to_owned(), token.clone().into()));
        let middle = token.split('-').nth(2).context("a token's secret")?;
        secrets.push(("the join token's secret".to_owned(), middle.into()));
        for words in [
            "\"do\":\"reboot\"",
            "\"kind\":\"command\"",
            "\"current\":",
            "\"kind\":\"welcome\"",
        ] {
            secrets.push((words.to_owned(), words.into()));
        }
        for (what, bytes) in secrets {
            ensure!(!holds(&heard, &bytes), "the capture holds {what}");
        }
        Ok(())
    })
}
