//! Somebody who follows a page: types its commands where they belong, and looks at what they print.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use enforcer_tests::{
    book::{self, Deed, Place, Step},
    fixture,
    lab::{Debian, Machine, Service, Space, wait_until},
};

/// Whose hands type; they may `sudo`, as on most people's Debian.
pub(crate) const PERSON: &str = "ann";
/// Where they are, with a clone's `target/debs` below.
pub(crate) const FOLDER: &str = "/home/ann/enforcer";
/// The longest command builds the management OS from downloaded packages, or writes a disk and waits for its system.
const COMMAND_LIMIT_S: &str = "420";
/// A follower shows what there is at once.
const FOLLOWER_LIMIT: Duration = Duration::from_secs(20);
/// The machine and the code that the pages speak of.
const ITS_MAC: &str = "52:54:00:12:34:56";
const ITS_CODE: &str = "1234-5678";

/// The reader, the host they sit at, and the machine beside it.
pub(crate) struct Reader<'a> {
    pub(crate) space: &'a Space,
    pub(crate) debian: Debian,
    pub(crate) machine: Machine,
    /// What the machine's screen showed.
    pub(crate) code: Option<String>,
    /// Where what builds writes packages, and the programs that it has built already.
    debs: PathBuf,
    /// Every command so far.
    typed: BTreeSet<String>,
    follower: Option<Service>,
    block: usize,
    said: String,
}

impl<'a> Reader<'a> {
    pub(crate) fn at_a_fresh_host(space: &'a Space) -> Result<Self> {
        fixture::programs(&space.folder().file("programs"))?;
        let debian = Debian::boot(space, |root| {
            let rights = root.join("etc/sudoers.d");
            fs::create_dir_all(&rights)?;
            let file = rights.join(PERSON);
            fs::write(&file, format!("{PERSON} ALL=(ALL) NOPASSWD: ALL\n"))?;
            Ok(fs::set_permissions(file, PermissionsExt::from_mode(0o440))?)
        })?;
        debian.sh(&format!(
            "useradd --create-home --shell /bin/sh {PERSON}; install -d -o {PERSON} {FOLDER}"
        ))?;
        Ok(Self {
            space,
            debian,
            machine: crate::acts::spare_pc(space)?,
            code: None,
            debs: space.folder().file("debs"),
            typed: BTreeSet::new(),
            follower: None,
            block: 0,
            said: String::new(),
        })
    }

    /// Does all that a page says, in its order.
    pub(crate) fn follow(&mut self, page: &str) -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text = fs::read_to_string(root.join(page))?;
        let steps = book::steps(&text).with_context(|| page.to_owned())?;
        let typed = steps.iter().filter(|s| matches!(s.deed, Deed::Type(..)));
        ensure!(typed.count() > 5, "{page} has hardly a command");
        let known = self.typed_before(&steps);
        for step in steps {
            let line = step.line;
            if known.contains(&step.block) {
                continue;
            }
            self.take(step)
                .with_context(|| format!("{page}, line {line}"))
                .with_context(|| self.debian.journal("enforcer"))?;
        }
        ensure!(self.follower.is_none(), "{page}: nobody left a follower");
        Ok(())
    }

    /// The blocks of which every command was typed on an earlier page: pages may begin alike.
    fn typed_before(&self, steps: &[Step]) -> BTreeSet<usize> {
        let commands = |step: &Step| match &step.deed {
            Deed::Type(command, _) => Some((step.block, self.typed.contains(command))),
            _ => None,
        };
        let commands: Vec<_> = steps.iter().filter_map(commands).collect();
        let new = commands.iter().filter(|(_, known)| !known);
        let new: BTreeSet<usize> = new.map(|(block, _)| *block).collect();
        let all = commands.into_iter().map(|(block, _)| block);
        all.filter(|block| !new.contains(block)).collect()
    }

    fn take(&mut self, step: Step) -> Result<()> {
        let Step { block, deed, .. } = step;
        match deed {
            Deed::Type(command, place) => {
                if block != self.block {
                    self.block = block;
                    self.said.clear();
                }
                self.type_in(&command, place)?;
                self.typed.insert(command);
                Ok(())
            }
            Deed::Write(name, text) => self.write(&name, text.as_bytes()),
            Deed::Act(what) => self.act(&what).with_context(|| what),
            Deed::Find(text) => {
                let text = self.meant(&text);
                ensure!(
                    self.said.contains(&text),
                    "{text:?} is not in what was printed:\n{}",
                    self.said
                );
                Ok(())
            }
            Deed::Leave(..) => Ok(()),
        }
    }

    /// The machine of this lab in place of the page's; and what an emulated one on a busy host needs of a kernel.
    fn meant(&self, text: &str) -> String {
        let code = self.code.as_deref().unwrap_or(ITS_CODE);
        text.replace(ITS_MAC, &self.machine.mac())
            .replace(ITS_CODE, code)
            .replace("'console=ttyS0'", "'console=ttyS0 no_timer_check'")
    }

    fn type_in(&mut self, command: &str, place: Place) -> Result<()> {
        let command = self.meant(command);
        println!("$ {command}");
        let limited = format!("timeout {COMMAND_LIMIT_S} sh -euc {}", quoted(&command));
        let mut shell = match place {
            Place::Builder => self.builder(&command)?,
            _ if command.ends_with(" -f") || command.contains(" -f ") => {
                return self.follow_along(&command);
            }
            Place::Controller => self.person(self.debian.command("setpriv"), &limited),
            Place::Online => self.person(self.debian.online_command("setpriv"), &limited),
        };
        let output = shell.stdin(Stdio::null()).output()?;
        let said = [output.stdout, output.stderr].map(|o| String::from_utf8_lossy(&o).into_owned());
        let said = said.concat();
        println!("{said}");
        ensure!(
            output.status.success(),
            "{command}: {}: {said}",
            output.status
        );
        self.said += &said;
        Ok(())
    }

    /// A login of the person's, in their folder.
    fn person(&self, mut setpriv: Command, script: &str) -> Command {
        setpriv.args(["--reuid", PERSON, "--regid", PERSON, "--init-groups"]);
        setpriv.args(["--reset-env", "--", "sh", "-euc"]);
        setpriv.arg(format!("cd {FOLDER}; {script}"));
        setpriv
    }

    /// Starts what goes on until [`Self::leave_follower`].
    fn follow_along(&mut self, command: &str) -> Result<()> {
        // As a terminal starts it: a shell's job in the background, as the tests may be, does not hear Ctrl-C.
        let script = format!("echo $$ >/tmp/follower; exec env --default-signal=INT {command}");
        let command = self.person(self.debian.command("setpriv"), &script);
        let log = self.space.folder().file("follower.log");
        self.follower = Some(Service::start("follower", command, &log)?);
        Ok(())
    }

    /// Ctrl-C, once it has shown anything.
    pub(crate) fn leave_follower(&mut self) -> Result<()> {
        let mut follower = self.follower.take().context("nothing is followed")?;
        wait_until("a follower to show anything", FOLLOWER_LIMIT, || {
            follower.ensure_running()?;
            Ok((!follower.log().is_empty()).then_some(()))
        })?;
        self.debian.sh("kill -INT $(cat /tmp/follower)")?;
        follower
            .wait_end(FOLLOWER_LIMIT)
            .context("it goes on after Ctrl-C")?;
        println!("{}", follower.log());
        self.said += &follower.log();
        Ok(())
    }

    /// A shell in the sources. What `make debs` would compile is there; what apt is asked for is only looked up, as this host
    /// is not the test's.
    fn builder(&self, command: &str) -> Result<Command> {
        let tools = self.space.folder().file("builder");
        fs::create_dir_all(&tools)?;
        let sudo = tools.join("sudo");
        fs::write(&sudo, "#!/bin/sh\nexec \"$@\"\n")?;
        fs::set_permissions(&sudo, PermissionsExt::from_mode(0o755))?;
        let apt = tools.join("apt.conf");
        fs::write(&apt, "APT::Get::Simulate \"true\";\n")?;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell.args(["-euc", command]);
        shell.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        shell.env("PATH", format!("{}:{path}", tools.display()));
        shell.env("APT_CONFIG", apt).env("COMPRESSION", "none");
        shell.env("PROGRAMS", self.space.folder().file("programs"));
        shell.env("DEBS", &self.debs);
        Ok(shell)
    }

    /// A file in the person's folder.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.debian.file(&format!("{FOLDER}/{name}"));
        fs::write(path, bytes).with_context(|| name.to_owned())
    }

    /// The packages as they lie in a clone on the controller's host.
    pub(crate) fn carry_packages(&self) -> Result<()> {
        let there = self.debian.file(&format!("{FOLDER}/target/debs"));
        fs::create_dir_all(&there)?;
        let mut carried = 0;
        for deb in fs::read_dir(&self.debs)? {
            let deb = deb?;
            fs::copy(deb.path(), there.join(deb.file_name()))?;
            carried += 1;
        }
        if carried != 3 {
            bail!("{carried} packages were made, not three");
        }
        Ok(())
    }
}

/// One word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
