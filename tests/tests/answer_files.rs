//! The answer files that presets make, read by the programs that will read them: each is asked, and each refuses a broken one.
//!
//! What is asked about are the controller's golden files, which its own tests hold equal to what machines are served.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use enforcer_tests::lab::need;
use tempfile::TempDir;

/// Releases whose installers the preset is for: the family's newest, and the oldest that is still looked after.
const KICKSTARTS: [&str; 4] = ["F42", "RHEL8", "RHEL9", "RHEL10"];

/// An answer file, as web1 is served it.
fn answer(preset: &str, name: &str) -> Result<String> {
    let golden = "../controller/src/state/preset/golden";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{golden}/{preset}.txt"));
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let parts = text.split("==> ");
    let part = parts
        .filter_map(|part| part.split_once('\n'))
        .find(|(head, _)| *head == name);
    let (_, body) = part.with_context(|| format!("{preset} has no {name}"))?;
    Ok(body.to_owned())
}

/// What a program says of a file with this text, whose name is its last argument.
fn says(program: &Path, words: &[&str], text: &str) -> Result<Output> {
    let folder = TempDir::new()?;
    let file = folder.path().join("answers");
    fs::write(&file, text)?;
    let mut command = Command::new(program);
    command
        .args(words)
        .arg(&file)
        .env("PATH", need::search_path());
    command
        .output()
        .with_context(|| program.display().to_string())
}

/// The program takes the text, and not one in which `right` is `wrong`.
fn tells_apart(
    program: &Path,
    words: &[&str],
    text: &str,
    (right, wrong): (&str, &str),
) -> Result<()> {
    let good = says(program, words, text)?;
    ensure!(good.status.success(), "{words:?}: {good:?}\n{text}");
    ensure!(text.contains(right), "'{right}' is not in it:\n{text}");
    let bad = says(program, words, &text.replacen(right, wrong, 1))?;
    ensure!(!bad.status.success(), "{words:?} takes '{wrong}': {bad:?}");
    Ok(())
}

fn program(name: &str) -> Result<PathBuf> {
    need::programs(&[name])?;
    need::find(name).context("it is there")
}

#[test]
fn cloud_init_takes_ubuntus_user_data_and_what_it_gives_to_the_new_system() -> Result<()> {
    let cloud_init = program("cloud-init")?;
    let words = ["schema", "--config-file"];
    let text = answer("ubuntu", "user-data")?;
    tells_apart(
        &cloud_init,
        &words,
        &text,
        ("autoinstall:", "autoinstall: ["),
    )?;
    let inner = below(&text, "  user-data:")?;
    let text = format!("#cloud-config\n{inner}");
    tells_apart(&cloud_init, &words, &text, ("users:", "users: 7\nothers:"))
}

/// The block below a line of YAML, moved to the left edge.
fn below(text: &str, head: &str) -> Result<String> {
    let mut lines = text.lines().skip_while(|line| *line != head).skip(1);
    let mut block = String::new();
    for line in lines.by_ref().map_while(|line| line.strip_prefix("    ")) {
        block += line;
        block.push('\n');
    }
    ensure!(!block.is_empty(), "nothing below {head}");
    Ok(block)
}

#[test]
fn fedoras_kickstart_is_one_for_every_release_of_its_family() -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kickstart.sh");
    let made = Command::new("sh").arg(&script).output()?;
    ensure!(made.status.success(), "{}: {made:?}", script.display());
    let validator = PathBuf::from(String::from_utf8(made.stdout)?.trim());
    let text = answer("fedora", "kickstart.cfg")?;
    for release in KICKSTARTS {
        // `-e`: what is only deprecated is an error as well.
        let words = ["-e", "-v", release];
        tells_apart(&validator, &words, &text, ("zerombr", "zeromrb"))?;
    }
    Ok(())
}

#[test]
fn ignition_takes_flatcars_configuration() -> Result<()> {
    let validate = program("ignition-validate")?;
    let text = answer("flatcar", "config.ign")?;
    tells_apart(&validate, &[], &text, ("\"mode\": 420", "\"mode\": 99999"))
}

#[test]
fn every_shell_script_is_one_and_alpines_answers_say_what_setup_asks_for() -> Result<()> {
    let shell = program("busybox")?;
    let words = ["sh", "-n"];
    for (preset, name) in [
        ("debian", "run.sh"),
        ("alpine", "answers"),
        ("alpine", "enforcer.start"),
    ] {
        let text = answer(preset, name)?;
        tells_apart(&shell, &words, &text, ("\"", ""))?;
    }
    // `setup-alpine` sources them, and asks a person for each that is missing.
    let text = answer("alpine", "answers")?;
    let asked = "KEYMAPOPTS HOSTNAMEOPTS DEVDOPTS INTERFACESOPTS TIMEZONEOPTS PROXYOPTS APKREPOSOPTS USEROPTS SSHDOPTS NTPOPTS \
                 LBUOPTS APKCACHEOPTS DISKOPTS";
    let check = asked
        .split(' ')
        .map(|name| format!(": \"${{{name}:?}}\"\n"));
    let text = format!(
        "set -u; ENFORCER_DISK=/dev/vda\n{text}\n{}",
        check.collect::<String>()
    );
    tells_apart(&shell, &["sh"], &text, ("SSHDOPTS", "SSHOPTS"))
}

#[test]
fn debians_preseed_sets_questions_that_debconf_can_read() -> Result<()> {
    let debconf = program("debconf-set-selections")?;
    let text = answer("debian", "preseed.cfg")?;
    // What it cannot read it passes over, and only warns.
    let warns = |text: &str| Ok(says(&debconf, &["--checkonly"], text)?.stderr);
    let good: Result<Vec<u8>> = warns(&text);
    let good = String::from_utf8(good?)?;
    ensure!(good.is_empty(), "{good}");
    let bad: Result<Vec<u8>> = warns(&text.replacen("boolean", "bolean", 1));
    ensure!(!bad?.is_empty(), "it does not say what it cannot read");
    Ok(())
}
