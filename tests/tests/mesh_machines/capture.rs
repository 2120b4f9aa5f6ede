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

use enforcer_tests::site::{DISCOVER, READY_LIMIT, Site, reset_at};

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

/// The lines of a private key in PEM, which may be a string in JSON.
fn pem_lines(text: &str) -> Vec<&str> {
    let Some((_, rest)) = text.split_once("PRIVATE KEY-----") else {
        return Vec::new();
    };
    let rest = rest.split("-----").next().unwrap_or_default();
    let rest = rest.split("\\n").flat_map(str::lines);
    rest.filter(|line| !line.is_empty()).collect()
}

/// The same, each with a name.
fn key_lines(name: &str, text: &str) -> Secrets {
    // The first line of a PKCS#8 key is its algorithm, the same in all.
    let lines = pem_lines(text).into_iter().skip(1);
    let lines = lines.filter(|line| line.len() > 16);
    lines.map(|line| (name.to_owned(), line.into())).collect()
}

/// The bytes of base64 (RFC 4648 §4).
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sextets: Vec<usize> = text.chars().filter_map(|c| ALPHABET.find(c)).collect();
    let bytes = sextets.chunks(4).flat_map(|four| {
        let bits = four.iter().fold(0, |bits, six| bits << 6 | six) << (6 * (4 - four.len()));
        let bytes = [bits >> 16, bits >> 8, bits].map(|byte| byte as u8);
        bytes.into_iter().take(four.len().saturating_sub(1))
    });
    bytes.collect()
}

/// The private number of a P-256 key in PEM, as it would be in memory: PKCS#8 holds it as an octet string of 32 bytes (RFC 5915).
fn private_number(name: &str, text: &str) -> Secrets {
    const OCTETS_32: [u8; 2] = [4, 32];
    let der = base64(&pem_lines(text).concat());
    let at = der.windows(2).position(|two| two == OCTETS_32);
    let number = at.and_then(|at| der.get(at + 2..at + 34));
    number
        .map(|number| (format!("{name}, the number itself"), number.to_owned()))
        .into_iter()
        .collect()
}

/// The group keys of the gossip, of every rotation, as text and as the bytes that seal: the controller's database has them in JSON.
fn ring_keys(database: &[u8]) -> Secrets {
    let text = String::from_utf8_lossy(database);
    let keys = text.split("\"epoch\":").skip(1).filter_map(|rest| {
        let (_, key) = rest.split_once("\"key\":\"")?;
        let key = key.get(..64)?;
        key.bytes().all(|b| b.is_ascii_hexdigit()).then_some(key)
    });
    let both = |key: &str| {
        let bytes = (0..64).step_by(2);
        let bytes = bytes.filter_map(|at| u8::from_str_radix(&key[at..at + 2], 16).ok());
        [
            ("a gossip key as text".to_owned(), key.into()),
            ("a gossip key".to_owned(), bytes.collect()),
        ]
    };
    keys.flat_map(both).collect()
}

/// Private keys and ring keys below a folder, whatever their files are called.
fn keys_below(folder: &Path) -> Result<Secrets> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(keys_below(&path)?);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let name = path.display().to_string();
            found.extend(key_lines(&name, &text));
            found.extend(private_number(&name, &text));
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

        let console = machine.serial()?.text().to_owned();
        ensure!(
            !console.contains(&stolen),
            "the boot's secret is on the console"
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
        let numbers = |(name, _): &&(String, Vec<u8>)| name.ends_with("itself");
        ensure!(
            secrets.iter().filter(numbers).count() >= 2,
            "the CA's and the agent's key: {secrets:?}"
        );
        let ring = ring_keys(&fs::read(site.controller.state().join("enforcer.redb"))?);
        ensure!(!ring.is_empty(), "the database holds no gossip key");
        secrets.extend(ring);
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
