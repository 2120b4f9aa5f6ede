//! The packages on a fresh Debian: they install, start hardened, come again after a crash, take over older state, and go.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    fixture,
    lab::{Debian, Space, output, story, wait_until},
};
use serde_json::Value;

/// What `systemd-analyze security` may find at most, in tenths.
const EXPOSURE: u32 = 20;
/// As bash does it when somebody presses the tabulator: finds the completion of a command that it does not know yet, and asks it.
const COMPLETED: &str = r#"bash -c '
. /usr/share/bash-completion/bash_completion
_completion_loader enforcer || test $? = 124
complete -p enforcer | grep -q _enforcer
compopt() { :; }
for line in "enforcer mach" "enforcer machines show we"; do
    COMP_LINE=$line COMP_POINT=${#line}
    read -ra COMP_WORDS <<<"$line"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _enforcer enforcer "" ""
    printf "%s\n" "${COMPREPLY[@]}"
done'"#;
/// A restart waits two seconds by its unit; a busy host is slow.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn the_packages_install_start_hardened_survive_a_crash_take_over_older_state_and_go() -> Result<()>
{
    story("packages", |space| {
        let debs = fixture::packages(space)?;
        let debian = Debian::boot(space, |root| {
            let there = root.join("debs");
            fs::create_dir_all(&there)?;
            for deb in fs::read_dir(&debs)? {
                let deb = deb?;
                fs::copy(deb.path(), there.join(deb.file_name()))?;
            }
            Ok(())
        })?;
        let host = Host { debian };
        host.installs_and_starts()?;
        host.explains_itself()?;
        host.is_hardened("enforcer")?;
        host.is_hardened("enforcer-agent")?;
        host.reloads()?;
        host.comes_back_after_a_crash()?;
        host.tells_its_log_to_who_helps(space)?;
        host.runs_the_agent()?;
        for store in older_stores()? {
            host.takes_over(&store)
                .with_context(|| store.display().to_string())?;
        }
        host.goes()
    })
}

/// Every store of an earlier version that the tree keeps.
fn older_stores() -> Result<Vec<std::path::PathBuf>> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut stores = Vec::new();
    for entry in fs::read_dir(kept)? {
        stores.push(entry?.path());
    }
    ensure!(stores.len() >= 2, "{stores:?}");
    stores.sort();
    Ok(stores)
}

struct Host {
    debian: Debian,
}

impl Host {
    fn sh(&self, script: &str) -> Result<String> {
        self.debian
            .sh(script)
            .with_context(|| self.debian.journal("enforcer"))
    }

    /// What reloads is the program that ran: without a word for it, the signal would have ended it.
    fn reloads(&self) -> Result<()> {
        let shown = "systemctl show enforcer --property MainPID,SubState,NRestarts";
        let before = self.sh(shown)?;
        self.sh("systemctl reload enforcer")?;
        self.answers()?;
        let after = self.sh(shown)?;
        ensure!(before == after, "before {before}, after {after}");
        Ok(())
    }

    fn installs_and_starts(&self) -> Result<()> {
        let said = self.sh("dpkg --install /debs/*.deb 2>&1")?;
        ensure!(
            said.contains("enforcer-agent join TOKEN"),
            "nobody is told how to join: {said}"
        );
        self.sh("systemctl is-enabled enforcer")?;
        self.answers()?;
        let unit = "systemctl show enforcer --property";
        let shown = self.sh(&format!("{unit} Type,User,WatchdogUSec,SubState,NRestarts"))?;
        let expected = [
            "Type=notify",
            "User=enforcer",
            "WatchdogUSec=1min",
            "SubState=running",
            "NRestarts=0",
        ];
        for line in expected {
            ensure!(shown.lines().any(|one| one == line), "{line}: {shown}");
        }
        ensure!(
            self.sh("systemctl is-enabled enforcer-agent || true")?
                .trim()
                == "disabled",
            "an agent without a token has nothing to start for"
        );
        let firmware = self.sh("enforcer firmware list")?;
        let ours =
            |line: &str| line.starts_with("localboot.efi") && line.contains("enforcer-boot-assets");
        ensure!(firmware.lines().any(ours), "{firmware}");
        // Timers and cron jobs have no home.
        self.sh("env -u HOME enforcer machines register 52:54:00:12:34:56 --name web1")
            .map(drop)
    }

    /// Its manual opens, and bash completes words and the controller's names, by what the package has put where they look.
    fn explains_itself(&self) -> Result<()> {
        for (page, expected) in [
            ("enforcer", "ENFORCER(1)"),
            ("enforcer-machines", "register"),
        ] {
            let shown = self.sh(&format!("man {page}"))?;
            ensure!(shown.contains(expected), "man {page}: {shown}");
        }
        let offered = self.sh(COMPLETED)?;
        ensure!(offered == "machines\nweb1\n", "{offered}");
        Ok(())
    }

    /// The controller says that it is well, to a group's member over its socket.
    fn answers(&self) -> Result<()> {
        let ask = "curl -s --unix-socket /run/enforcer/api.sock http://localhost/healthz || true";
        wait_until("the controller to answer", LIMIT, || {
            Ok((self.sh(ask)?.trim() == "ok").then_some(()))
        })
    }

    fn is_hardened(&self, unit: &str) -> Result<()> {
        let said = self.sh(&format!(
            "systemd-analyze security {unit}.service --no-pager"
        ))?;
        let level = said
            .rsplit_once("exposure level for ")
            .context("a level")?
            .1;
        let level = level.split(": ").nth(1).context("a number")?;
        let level = level.split(' ').next().unwrap_or_default().replace('.', "");
        let level: u32 = level.parse().with_context(|| said.clone())?;
        ensure!(
            level <= EXPOSURE,
            "{unit}: exposure {level} tenths, not {EXPOSURE}:\n{said}"
        );
        let wrong = self.sh(&format!(
            "systemd-analyze verify --man=no {unit}.service 2>&1 || true"
        ))?;
        ensure!(!wrong.contains(unit), "{wrong}");
        Ok(())
    }

    fn comes_back_after_a_crash(&self) -> Result<()> {
        self.sh("systemctl kill --kill-whom main --signal KILL enforcer")?;
        wait_until("systemd to start it again", LIMIT, || {
            let again = self.sh("systemctl show enforcer --property NRestarts,SubState")?;
            Ok((again.contains("NRestarts=1") && again.contains("SubState=running")).then_some(()))
        })?;
        self.answers()?;
        self.sh("enforcer machines show web1").map(drop)
    }

    /// A support bundle has the start of the program and its end by SIGKILL, by its own journal.
    fn tells_its_log_to_who_helps(&self, space: &Space) -> Result<()> {
        self.sh("enforcer support-bundle /root/help.tar.zst")?;
        let mut tar = Command::new("tar");
        tar.args(["--zstd", "-xOf"]);
        tar.arg(self.debian.file("/root/help.tar.zst"));
        tar.arg("controller-log.json")
            .current_dir(space.folder().path());
        let log: Value = serde_json::from_str(&output(tar)?)?;
        let rows = log["rows"].as_array().context("rows")?;
        let ready = |row: &Value| row["part"] == "enforcer::serve" && row["text"] == "ready";
        let killed = |row: &Value| row["by"] == "systemd" && row["words"]["exit"] == "killed";
        let start = rows.iter().position(ready).context("no start")?;
        ensure!(rows[start..].iter().any(killed), "no end: {log:#}");
        ensure!(rows.iter().filter(|row| ready(row)).count() == 2, "{log:#}");
        Ok(())
    }

    /// The agent's unit joins this very host, as a system that was installed by hand does.
    fn runs_the_agent(&self) -> Result<()> {
        let token = self.sh("enforcer join-tokens create -o json")?;
        let token: Value = serde_json::from_str(&token)?;
        let token = token["token"].as_str().context("a token")?;
        self.sh(&format!(
            "enforcer-agent join {token} --controller 127.0.0.1
             systemctl enable --now enforcer-agent"
        ))
        .with_context(|| self.debian.journal("enforcer-agent"))?;
        let alive = wait_until("the agent to be a member", LIMIT, || {
            let members = self.sh("enforcer members list -o json")?;
            let members: Vec<Value> = serde_json::from_str(&members)?;
            Ok(members
                .iter()
                .any(|one| one["state"] == "alive")
                .then_some(()))
        });
        alive.with_context(|| self.debian.journal("enforcer-agent"))?;
        self.sh("systemctl stop enforcer-agent").map(drop)
    }

    /// A controller that root ran by hand, of an older version, left its state.
    fn takes_over(&self, store: &Path) -> Result<()> {
        self.sh("systemctl stop enforcer; rm -rf /var/lib/enforcer; mkdir /var/lib/enforcer")?;
        let packed = fs::read(store)?;
        let database = self.debian.file("/var/lib/enforcer/enforcer.redb");
        fs::write(database, zstd::decode_all(&packed[..])?)?;
        self.sh("echo '# a person was here' >>/etc/enforcer/enforcer.toml
                 dpkg --install /debs/*.deb >/dev/null 2>&1")?;
        self.answers()?;
        let foreign = self.sh("find /var/lib/enforcer ! -user enforcer")?;
        ensure!(
            foreign.is_empty(),
            "files that are not the controller's: {foreign}"
        );
        self.sh("grep -q 'a person was here' /etc/enforcer/enforcer.toml")?;
        self.sh("enforcer machines show web1")
            .context("its machine is gone")
            .map(drop)
    }

    fn goes(&self) -> Result<()> {
        let all = "enforcer enforcer-agent enforcer-boot-assets";
        self.sh(&format!("dpkg --remove {all}"))?;
        self.sh("test -e /var/lib/enforcer/enforcer.redb && test -e /etc/enforcer/enforcer.toml")
            .context("removing took the state")?;
        let running = self.sh("systemctl is-active enforcer enforcer-agent || true")?;
        ensure!(!running.lines().any(|one| one == "active"), "{running}");
        self.sh(&format!("dpkg --purge {all}"))?;
        // Pages that somebody has read are kept by man-db, in its own cache.
        let left = self.sh(
            "find /etc /usr /var -xdev -path /var/cache/man -prune -o -name '*enforcer*' -print",
        )?;
        ensure!(left.is_empty(), "left: {left}");
        Ok(())
    }
}
