//! The container image: what is in it, who it runs as, and a BIOS machine that boots from it alone.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use enforcer_tests::{
    first_boot, fixture,
    lab::{Service, Space, need, output, peers::ForeignDhcp, story},
};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

const IMAGE: &str = "localhost/enforcer:test";
/// The image's own user, who is nobody on any host.
const USER: u32 = 64848;
/// What `cap_drop: [ALL]` takes away of buildah's defaults, and `cap_add` gives: its own `--cap-drop ALL` wins over `--cap-add`.
const DROPPED: [&str; 10] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];
const GIVEN: [&str; 2] = ["CAP_NET_BIND_SERVICE", "CAP_NET_RAW"];
/// A controller lets open transfers end for eight seconds, and closes its database.
const STOPS: Duration = Duration::from_secs(12);
/// What an engine mounts, as compose.yaml says.
const MOUNTS: [(&str, &str); 2] = [("state", "/var/lib/enforcer"), ("socket", "/run/enforcer")];

#[test]
fn the_image_is_made_from_nothing_runs_without_root_and_boots_a_bios_machine() -> Result<()> {
    story("container", |space| {
        let _foreign = ForeignDhcp::start(space)?;
        let image = Image::build(space)?;
        image.says_how_it_runs()?;
        let container = image.container()?;
        container.holds_what_it_needs_and_no_shell()?;
        let site = first_boot::Site {
            space,
            socket: container.outside("socket/api.sock"),
        };
        let mut service = container.serve(space)?;
        site.wait_ready(&mut service)?;
        container.runs_as_its_user()?;
        site.boots_a_bios_machine()?;
        container.is_healthy_while_it_answers(space)
    })
}

/// What the compose file says of the service: words of the Compose Specification, each of which the test knows.
const SAID: [&str; 9] = [
    "image",
    "network_mode",
    "cap_drop",
    "cap_add",
    "read_only",
    "tmpfs",
    "volumes",
    "restart",
    "stop_grace_period",
];

#[test]
fn the_compose_file_runs_the_image_as_the_container_above_is_run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("packaging/container/compose.yaml"))?;
    let file = YamlLoader::load_from_str(&text)?;
    let [file] = &file[..] else {
        bail!("it is not one document");
    };
    ensure!(words(file) == ["services", "volumes"], "{file:?}");
    let service = &file["services"]["enforcer"];
    ensure!(words(service) == SAID, "{service:?}");
    let version = env!("CARGO_PKG_VERSION");
    let image = format!("localhost/enforcer:{version}");
    ensure!(service["image"].as_str() == Some(&image), "{service:?}");
    ensure!(
        service["network_mode"].as_str() == Some("host"),
        "{service:?}"
    );
    ensure!(service["read_only"].as_bool() == Some(true), "{service:?}");
    ensure!(texts(&service["cap_drop"]) == ["ALL"], "{service:?}");
    let given = GIVEN.map(|name| name.trim_start_matches("CAP_"));
    ensure!(texts(&service["cap_add"]) == given, "{service:?}");
    let [(_, state), (_, socket)] = MOUNTS;
    let socket = format!("{socket}:uid={USER},gid={USER},mode=0755");
    ensure!(texts(&service["tmpfs"]).contains(&&*socket), "{service:?}");
    let [volume] = &texts(&service["volumes"])[..] else {
        bail!("its state is its only volume: {service:?}");
    };
    let (name, place) = volume.split_once(':').context("a volume's place")?;
    ensure!(
        place == state && words(&file["volumes"]) == [name],
        "{file:?}"
    );
    let grace = service["stop_grace_period"].as_str();
    let grace = grace.and_then(|text| text.strip_suffix('s')?.parse().ok());
    ensure!(grace.map(Duration::from_secs) >= Some(STOPS), "{service:?}");
    Ok(())
}

/// The keys of a mapping.
fn words(yaml: &Yaml) -> Vec<&str> {
    let keys = yaml.as_hash().into_iter().flat_map(|hash| hash.keys());
    keys.filter_map(Yaml::as_str).collect()
}

/// The texts of a list.
fn texts(yaml: &Yaml) -> Vec<&str> {
    yaml.as_vec()
        .into_iter()
        .flatten()
        .filter_map(Yaml::as_str)
        .collect()
}

/// buildah's store of images and containers in the lab's folder.
struct Image {
    store: PathBuf,
}

impl Image {
    fn build(space: &Space) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "a container is run by root here: run the tests as root"
        );
        need::programs(&["buildah", "setcap"])?;
        let image = Self {
            store: space.folder().file("buildah"),
        };
        let programs = space.folder().file("programs");
        fixture::programs(&programs)?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut script = Command::new("sh");
        script.arg(root.join("packaging/container/build.sh"));
        script.arg(&programs).arg(IMAGE);
        script.env("BUILDAH", image.words().join(" "));
        output(script)?;
        Ok(image)
    }

    fn words(&self) -> Vec<String> {
        let folder = |name: &str| self.store.join(name).display().to_string();
        ["buildah", "--storage-driver", "vfs", "--root"]
            .map(str::to_owned)
            .into_iter()
            .chain([folder("root"), "--runroot".to_owned(), folder("run")])
            .collect()
    }

    fn buildah(&self, args: &[&str]) -> Result<String> {
        let words = self.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(args);
        Ok(output(command)?.trim().to_owned())
    }

    /// What engines are told by the image.
    fn config(&self) -> Result<Value> {
        let text = self.buildah(&["inspect", "--type", "image", IMAGE])?;
        let all: Value = serde_json::from_str(&text)?;
        Ok(all["Docker"]["config"].clone())
    }

    fn says_how_it_runs(&self) -> Result<()> {
        let config = self.config()?;
        ensure!(config["User"] == "enforcer", "{config:#}");
        ensure!(
            config["Entrypoint"][0] == "/usr/bin/enforcer" && config["Cmd"][0] == "serve",
            "{config:#}"
        );
        let volume = &config["Volumes"]["/var/lib/enforcer"];
        ensure!(volume.is_object(), "{config:#}");
        Ok(())
    }

    /// The words of its check of health.
    fn health(&self) -> Result<Vec<String>> {
        let test = self.config()?["Healthcheck"]["Test"].clone();
        let words: Vec<String> = serde_json::from_value(test)?;
        let (how, words) = words.split_first().context("a health check")?;
        ensure!(how == "CMD", "it has no shell: {how} {words:?}");
        Ok(words.to_vec())
    }

    fn container(&self) -> Result<Container<'_>> {
        let name = self.buildah(&["from", "--pull-never", IMAGE])?;
        // Of two mounts of one place, the image's own volume and ours, either may win in buildah.
        self.buildah(&["config", "--volume", "/var/lib/enforcer-", &name])?;
        let root = PathBuf::from(self.buildah(&["mount", &name])?);
        let container = Container {
            image: self,
            name,
            root,
        };
        for (folder, _) in MOUNTS {
            let folder = container.outside(folder);
            fs::create_dir_all(&folder)?;
            chown(&folder, Some(USER), Some(USER))?;
        }
        Ok(container)
    }
}

/// A container of the image, with the folders that an engine would give it.
struct Container<'a> {
    image: &'a Image,
    name: String,
    root: PathBuf,
}

impl Container<'_> {
    fn outside(&self, path: &str) -> PathBuf {
        self.image.store.join(path)
    }

    fn holds_what_it_needs_and_no_shell(&self) -> Result<()> {
        let there = |path: &str| self.root.join(path).exists();
        for path in [
            "usr/bin/enforcer",
            "usr/lib/ipxe/undionly.kpxe",
            "usr/lib/ipxe/snponly.efi",
            "usr/share/enforcer/firmware/localboot.efi",
            "etc/ssl/certs/ca-certificates.crt",
        ] {
            ensure!(there(path), "{path} is missing");
        }
        for path in ["bin/sh", "usr/bin/sh", "bin/busybox"] {
            ensure!(!there(path), "{path} came along");
        }
        let rights = fs::metadata(self.root.join("usr/bin/enforcer"))?.permissions();
        ensure!(rights.mode() & 0o6000 == 0, "it is no setuid program");
        Ok(())
    }

    /// `buildah run` in the lab's network, as compose.yaml says: no capabilities but the two, the image's user.
    fn run(&self, space: &Space, words: &[String]) -> Command {
        let mut command = space.command("unshare");
        // With it all of its processes end.
        command.args(["--pid", "--fork", "--kill-child", "--"]);
        command.args(self.image.words());
        command.args(["run", "--isolation", "chroot"]);
        for capability in DROPPED {
            command.args(["--cap-drop", capability]);
        }
        for capability in GIVEN {
            command.args(["--cap-add", capability]);
        }
        for (outside, inside) in MOUNTS {
            let outside = self.outside(outside);
            command.args(["--volume", &format!("{}:{inside}", outside.display())]);
        }
        command.args(["--env", "ENFORCER_RECHAIN=always"]);
        command.arg(&self.name).arg("--").args(words);
        command
    }

    fn serve(&self, space: &Space) -> Result<Service> {
        let words = ["/usr/bin/enforcer", "serve"].map(str::to_owned);
        let log = space.folder().file("container.log");
        Service::start("container", self.run(space, &words), &log)
    }

    fn runs_as_its_user(&self) -> Result<()> {
        let owner = fs::metadata(self.outside("state/enforcer.redb"))?.uid();
        ensure!(owner == USER, "it runs as user {owner}");
        Ok(())
    }

    fn is_healthy_while_it_answers(&self, space: &Space) -> Result<()> {
        let words = self.image.health()?;
        output(self.run(space, &words)).map(drop)?;
        fs::remove_file(self.outside("socket/api.sock"))?;
        let answer = self.run(space, &words).output()?;
        ensure!(
            !answer.status.success(),
            "a controller that cannot be asked is not healthy"
        );
        Ok(())
    }
}
