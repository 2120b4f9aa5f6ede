//! Completion as the shells do it: each is given its script and a line, and says what it would offer; names come from a running
//! controller.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use enforcer_tests::lab::{Controller, ControllerPlan, Space, enforcer_binary};

const MAC: &str = "52:54:00:77:00:01";

/// A shell with its completion.
struct Shell {
    program: &'static str,
    /// What loads the script at `$1`, completes the line `$2` and prints what is offered, one a line.
    driver: &'static str,
}

const BASH: Shell = Shell {
    program: "bash",
    driver: r#"
        source "$1"
        COMP_LINE=$2 COMP_POINT=${#2}
        # As bash cuts it; only the first word is looked at.
        read -ra COMP_WORDS <<<"$2"
        compopt() { :; }
        _enforcer enforcer "" ""
        printf '%s\n' "${COMPREPLY[@]}"
    "#,
};

const ZSH: Shell = Shell {
    program: "zsh",
    driver: r#"
        compdef() { :; }
        _files() { :; }
        _describe() { local name=${@[-1]}; print -rl -- "${(@P)name}"; }
        source "$1"
        # As zsh cuts it, with the empty word behind a blank.
        words=("${(@s: :)2}")
        CURRENT=$#words
        _enforcer
    "#,
};

const FISH: Shell = Shell {
    program: "fish",
    driver: "source $argv[1]; complete -C $argv[2]",
};

/// The script as the program prints it, in a file.
fn script(shell: &Shell, folder: &Path) -> Result<PathBuf> {
    let done = Command::new(enforcer_binary()?)
        .args(["completions", shell.program])
        .output()?;
    ensure!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    let path = folder.join(shell.program);
    fs::write(&path, done.stdout)?;
    Ok(path)
}

/// What a shell offers for a line, each without its description.
fn offered(shell: &Shell, controller: &Controller, line: &str) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let script = script(shell, folder.path())?;
    let binary = enforcer_binary()?;
    let bin = binary.parent().context("the program is in a folder")?;
    let path = format!("{}:{}", bin.display(), std::env::var("PATH")?);
    let mut command = Command::new(shell.program);
    if shell.program == "zsh" {
        command.arg("-f");
    }
    command.arg("-c").arg(shell.driver);
    // fish has no name in front of its arguments.
    if shell.program != "fish" {
        command.arg(shell.program);
    }
    let done = command
        .arg(script)
        .arg(line)
        .env("PATH", path)
        .env("HOME", folder.path())
        .env("ENFORCER_API_SOCKET", controller.api_socket())
        .output()
        .with_context(|| format!("{} is not installed", shell.program))?;
    ensure!(done.status.success(), "{line}: {done:?}");
    let told = String::from_utf8(done.stdout)?;
    let value = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
    Ok(told.lines().filter(|l| !l.is_empty()).map(value).collect())
}

#[test]
fn each_shell_offers_words_of_the_program_and_names_of_the_controller() -> Result<()> {
    let space = Space::new("shells")?;
    let controller = ControllerPlan::new()
        .config("mesh = false\n")
        .start(&space)?;
    controller.cli(&["machines", "register", MAC, "--name", "web1"])?;
    controller.cli(&["reservations", "set", MAC, "10.0.0.5"])?;
    for shell in [BASH, ZSH, FISH] {
        let name = shell.program;
        // zsh has the description behind a colon.
        let offered = |line: &str| -> Result<Vec<String>> {
            let offers = offered(&shell, &controller, line)?;
            let value = |offer: String| match name {
                "zsh" => offer
                    .replace("\\:", "\u{1}")
                    .split(':')
                    .next()
                    .unwrap_or_default()
                    .replace('\u{1}', ":"),
                _ => offer,
            };
            Ok(offers.into_iter().map(value).collect())
        };
        let told = |line: &str, expected: &[&str]| -> Result<()> {
            let offers = offered(line)?;
            ensure!(offers == expected, "{name}: {line}: {offers:?}");
            Ok(())
        };
        told("enforcer mach", &["machines"])?;
        told("enforcer machines list --state s", &["seen"])?;
        told("enforcer machines show we", &["web1"])?;
        told("enforcer explain --state accepted w", &["web1"])?;
        // A colon is where bash cuts words, and where zsh has its descriptions.
        let rest = if name == "bash" { "00:77:00:01" } else { MAC };
        told("enforcer reservations delete 52:54:", &[rest])?;
        let assigned = offered("enforcer machines list --state=ac")?;
        let expected = if name == "bash" {
            "accepted"
        } else {
            "--state=accepted"
        };
        ensure!(assigned == [expected], "{name}: {assigned:?}");
    }
    Ok(())
}
