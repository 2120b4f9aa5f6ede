//! What each preset makes is a text one can read: `golden/`. `ENFORCER_UPDATE_DOCS=1 cargo test -p enforcer --lib preset`
//! writes them anew.

use std::{fs, path::Path, process::Command};

use super::*;
use crate::state::{
    Timestamp,
    activation::Nonce,
    machine::{Machine, MachineId},
    overlay::Content,
    template::Scope,
};

const SCRIPT_TEXT: &str =
    "#!/bin/sh\nset -e\nlist=$1 count=${#list}\necho \"{{ name }} is provisioned\"\n";

pub(super) fn preset(os: Os, location: &str, release: &str) -> Preset {
    Preset {
        os,
        location: Some(location.to_owned()),
        release: Some(release.to_owned()),
        arch: PresetArch::Amd64,
        script: SCRIPT_TEXT.to_owned(),
        ssh_keys: vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC/x+y= me@desk".to_owned()],
        disk: None,
        packages: vec!["nginx".to_owned()],
        locale: None,
        keyboard: None,
        timezone: None,
        append: "console=ttyS0".to_owned(),
        kernel: None,
        initrds: Vec::new(),
        writes_disk: false,
    }
}

pub(super) fn config(preset: Preset) -> BootConfig {
    build("web".parse().unwrap(), preset).unwrap()
}

/// A template filled in for the machine web1.
fn filled(template: &str) -> String {
    let mac = ipxe::MacAddr([0x52, 0x54, 0, 0, 0, 1]);
    let mut machine = Machine::seen(MachineId::from_random(7), mac, Timestamp::UNIX_EPOCH);
    machine.name = "web1".parse().unwrap();
    let scope = Scope {
        machine: &machine,
        facts: None,
        base: "http://10.0.0.1:4880",
        nonce: &Nonce::from_random(1),
    };
    scope.render(template).unwrap()
}

/// Everything that a machine would get of it.
fn told(config: &BootConfig) -> String {
    let Program::Kernel {
        kernel,
        initrds,
        cmdline,
    } = &config.program
    else {
        panic!("a preset makes a kernel's config");
    };
    let url = |a: &Asset| {
        a.remote
            .as_ref()
            .map_or_else(String::new, |r| format!("{} ({:?})", r.url, r.check))
    };
    let mut text = format!("==> kernel {} {}\n", kernel.name, url(kernel));
    for initrd in initrds {
        text += &format!("==> initrd {} {}\n", initrd.name, url(initrd));
    }
    text += &format!(
        "==> writes a disk: {}\n==> command line\n{}\n",
        config.writes_disk,
        filled(cmdline)
    );
    for (name, answer) in &config.answers {
        // The same in every preset; it stands in the first.
        if name != RUN || config.preset.as_ref().is_some_and(|p| p.os == Os::Debian) {
            text += &format!("==> {name}\n{}\n", filled(answer));
        }
    }
    for (name, overlay) in &config.overlays {
        text += &format!("==> {name}\n");
        for file in &overlay.files {
            text += &match &file.content {
                Content::Answer { name, mode } => format!("{:o} {}: {name}\n", mode, file.path),
                Content::Link { target } => format!("{} -> {target}\n", file.path),
            };
        }
    }
    text
}

#[track_caller]
fn golden(name: &str, preset: Preset) {
    let told = told(&config(preset));
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/state/preset/golden/{name}.txt"));
    if std::env::var_os("ENFORCER_UPDATE_DOCS").is_some() {
        fs::write(&path, &told).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(told, expected, "{}", path.display());
}

#[test]
fn debian_is_installed_by_a_preseed() {
    golden(
        "debian",
        preset(Os::Debian, "https://deb.debian.org/debian/", "bookworm"),
    );
    let folder = "http://10.0.0.2/debian/dists/trixie/main/installer-arm64/current/images/netboot/debian-installer/arm64";
    golden(
        "debian-folder",
        Preset {
            release: None,
            disk: Some("/dev/disk/by-path/pci-0000:00:04.0".to_owned()),
            packages: Vec::new(),
            ssh_keys: Vec::new(),
            ..preset(Os::Debian, folder, "")
        },
    );
}

#[test]
fn ubuntu_is_installed_by_autoinstall() {
    golden(
        "ubuntu",
        preset(Os::Ubuntu, "https://releases.ubuntu.com", "24.04"),
    );
}

#[test]
fn alpine_installs_itself_by_its_answer_file() {
    golden(
        "alpine",
        preset(Os::Alpine, "https://dl-cdn.alpinelinux.org/alpine", "v3.20"),
    );
}

#[test]
fn fedora_is_installed_by_a_kickstart() {
    golden(
        "fedora",
        preset(
            Os::Fedora,
            "https://dl.fedoraproject.org/pub/fedora/linux",
            "42",
        ),
    );
}

pub(super) fn flatcar() -> Preset {
    Preset {
        packages: Vec::new(),
        ..preset(
            Os::Flatcar,
            "https://stable.release.flatcar-linux.net",
            "current",
        )
    }
}

#[test]
fn flatcar_runs_from_memory_by_ignition() {
    golden("flatcar", flatcar());
    let ignition = filled(&config(flatcar()).answers["config.ign"]);
    let ignition: serde_json::Value = serde_json::from_str(&ignition).unwrap();
    assert_eq!(
        ignition["storage"]["files"][0]["contents"]["source"],
        "data:,web1"
    );
}

#[test]
fn a_system_of_ones_own_is_told_where_its_script_is() {
    golden(
        "custom",
        Preset {
            release: None,
            ..preset(Os::Custom, "http://10.0.0.2/own", "")
        },
    );
}

#[test]
fn shell_scripts_are_shell() {
    let alpine = config(preset(Os::Alpine, "https://a/alpine", "v3.20"));
    for name in [RUN, SCRIPT, "enforcer.start", "answers"] {
        let text = filled(&alpine.answers[name]);
        let checked = Command::new("sh")
            .args(["-n", "-c", &text])
            .status()
            .unwrap();
        assert!(checked.success(), "{name}:\n{text}");
    }
}

/// `run.sh` with a `wget` that knows only the script, and writes down what it was asked for.
fn run(script: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("script"), script).unwrap();
    fs::write(
        at("run.sh"),
        filled(include_str!("files/run.sh")).replace("sleep 2", "sleep 0"),
    )
    .unwrap();
    let wget = format!(
        "#!/bin/sh\necho \"$4\" >> {0}/asked\ncase $4 in */script.sh) cp {0}/script \"$3\" ;; esac\n",
        folder.path().display()
    );
    fs::create_dir(at("bin")).unwrap();
    fs::write(at("bin/wget"), wget).unwrap();
    let allowed = Command::new("chmod")
        .arg("755")
        .arg(at("bin/wget"))
        .status()
        .unwrap();
    assert!(allowed.success());
    let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
    // The command stands for `chroot ROOT`: it runs what is below the root.
    let chroot = format!(
        "root={}; shift 0; case $1 in /tmp/*) exec \"$root$1\" ;; *) exec \"$1\" \"$root$2\" ;; esac",
        at("root").display()
    );
    let ended = Command::new("sh")
        .arg(at("run.sh"))
        .arg(at("root"))
        .args(["sh", "-c", &chroot, "chroot"])
        .env("PATH", path)
        .status()
        .unwrap();
    let asked = fs::read_to_string(at("asked")).unwrap();
    (
        ended.code().unwrap(),
        asked.lines().last().unwrap().to_owned(),
    )
}

#[test]
fn the_scripts_exit_status_decides() {
    let base = format!("http://10.0.0.1:4880/boot/n/{}", Nonce::from_random(1));
    assert_eq!(run("#!/bin/sh\nexit 0\n"), (0, format!("{base}/done")));
    assert_eq!(
        run("true\n"),
        (0, format!("{base}/done")),
        "without a first line it is sh's"
    );
    let failed =
        |code| format!("{base}/failed?reason=the%20script%20ended%20with%20exit%20code%20{code}");
    assert_eq!(run("#!/bin/sh\nexit 3\n"), (3, failed(3)));
    assert_eq!(run("#!/bin/sh\nset -e\nfalse\ntrue\n"), (1, failed(1)));
}

/// Puts one bad value into a preset.
type Spoil<'a> = &'a dyn Fn(&mut Preset);

#[test]
fn what_could_break_out_of_an_answer_file_is_refused() {
    let text = str::to_owned;
    let some = |t: &str| Some(t.to_owned());
    let cases: [(&str, Spoil<'_>); 17] = [
        ("release", &|p| p.release = some("bookworm\nd-i x")),
        ("release", &|p| p.release = some("../../x y")),
        ("locale", &|p| p.locale = some("C\n")),
        ("keyboard", &|p| p.keyboard = some("us\"; reboot")),
        ("time zone", &|p| p.timezone = some("UTC $(x)")),
        ("location", &|p| p.location = some("file:///etc")),
        ("location", &|p| p.location = some("http://a/'; x")),
        ("location", &|p| p.location = some("http://a/x:~root")),
        ("location", &|p| p.location = some("http://a/{{ 7 }}")),
        ("disk", &|p| p.disk = some("/dev/sda; reboot")),
        ("disk", &|p| p.disk = some("/dev/../etc/passwd")),
        ("disk", &|p| p.disk = some("sda")),
        ("package", &|p| p.packages = vec![text("a b")]),
        ("package", &|p| p.packages = vec![text("-x")]),
        ("key", &|p| p.ssh_keys = vec![text("ssh-rsa AA' ; x")]),
        ("key", &|p| {
            p.ssh_keys = vec![text("ssh-rsa AA\nssh-rsa BB")];
        }),
        ("key", &|p| {
            p.ssh_keys = vec![text("-----BEGIN PRIVATE KEY-----")];
        }),
    ];
    for (what, spoil) in cases {
        let mut preset = preset(Os::Debian, "https://deb.debian.org/debian", "bookworm");
        spoil(&mut preset);
        let refused = build("x".parse().unwrap(), preset).map(drop);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(what), "{what}: {refused}");
    }
}

#[test]
fn a_mirror_may_be_in_a_users_folder() {
    let mirror = preset(Os::Debian, "https://example.org/~ann/debian", "bookworm");
    assert!(build("x".parse().unwrap(), mirror).is_ok());
}

#[test]
fn what_is_missing_is_named_with_an_example() {
    for os in [
        Os::Debian,
        Os::Ubuntu,
        Os::Alpine,
        Os::Fedora,
        Os::Flatcar,
        Os::Custom,
    ] {
        let nothing = Preset {
            location: None,
            release: None,
            packages: Vec::new(),
            ..preset(os, "", "")
        };
        let refused = build("x".parse().unwrap(), nothing)
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(refused.contains("location"), "{os:?}: {refused}");
    }
}
