//! The room: a private network namespace held by one child process, with a bridge on which machines and servers meet.
//!
//! As root the namespace is plain; else it lies in an unprivileged user namespace, which needs a `/dev/net/tun` that this user may open.
//! The holder ends when its standard input closes, so it cannot outlive us, not even after SIGKILL; the namespace goes with the last process.

use super::folder::RunFolder;
use super::need;
use super::process::{self, Service, wait_until};
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// The MAC of machine `id`: `52:54:00:77:00:id`.
pub fn machine_mac(id: u8) -> String {
    format!("52:54:00:77:00:{id:02x}")
}

/// The SMBIOS uuid of machine `id`.
pub fn machine_uuid(id: u8) -> String {
    format!("77777777-0000-4000-8000-{id:012}")
}

/// One network namespace and the child process that holds it.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
    user: bool,
}

impl Namespace {
    /// The first one: makes the user namespace too when we are not root.
    fn first() -> Result<Self> {
        need::programs(&["unshare", "nsenter", "setpriv", "ip"])?;
        let user = !rustix::process::geteuid().is_root();
        File::options().read(true).write(true).open("/dev/net/tun").context(
            "the lab needs a usable /dev/net/tun: as root `modprobe tun` and `chmod 0666 /dev/net/tun`, or run the tests as root",
        )?;
        let mut command = process::host("unshare");
        if user {
            command.args(["--user", "--map-root-user"]);
        }
        Self::hold(command, user).context(
            "the lab needs a private network namespace: run the tests as root, or allow unprivileged ones \
             (sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0)",
        )
    }

    /// One more beside this one, for another host or a router; it shares the user namespace.
    pub fn beside(&self) -> Result<Self> {
        Self::hold(self.command("unshare"), self.user)
    }

    fn hold(mut unshare: Command, user: bool) -> Result<Self> {
        unshare.args([
            "--net",
            "sh",
            "-c",
            "ip link set lo up && echo held && exec cat",
        ]);
        unshare
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut holder = process::spawn(unshare)?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().context("piped above")?).read_line(&mut line)?;
        if line.trim() == "held" {
            return Ok(Self { holder, user });
        }
        let said = holder.wait_with_output()?;
        bail!("{}", String::from_utf8_lossy(&said.stderr).trim())
    }

    /// The holder's process id: what `ip link … netns` and `nsenter -t` want.
    pub fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// A command that will run inside. It dies with the *thread* that spawns it, so it suits calls that wait for the end;
    /// what shall live longer is started by [`Service::start`].
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = process::host("nsenter");
        command.args(["-t", &self.pid().to_string(), "--net"]);
        if self.user {
            command.args(["--user", "--preserve-credentials"]);
        }
        command
            .args(["--", "setpriv", "--pdeathsig", "KILL", "--"])
            .arg(program);
        command
    }

    /// Runs a program inside to its end and returns its standard output.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = self.command(program);
        command.args(args);
        process::output(command)
    }

    /// Runs a shell script inside; the first command that fails ends it.
    pub fn sh(&self, script: &str) -> Result<String> {
        self.run("sh", &["-euc", script])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A wire: a bridge `br0` in a namespace of its own. Machines and servers attach to it.
#[derive(Debug, Clone)]
pub struct Segment {
    namespace: Arc<Namespace>,
    folder: Arc<RunFolder>,
    address: Ipv4Addr,
}

impl Segment {
    /// Makes the bridge with `address`/24. STP off and no forward delay: a bridge that learns for 15 s eats the firmware's first DISCOVERs.
    fn new(namespace: Arc<Namespace>, folder: Arc<RunFolder>, address: Ipv4Addr) -> Result<Self> {
        let [a, b, c, d] = address.octets();
        namespace.sh(&format!(
            "ip link add br0 type bridge stp_state 0 forward_delay 0
             ip link set br0 address 52:54:00:77:ff:{d:02x}
             ip addr add {address}/24 brd {a}.{b}.{c}.255 dev br0
             ip -6 addr add fd77:{b}:{c}::{d}/64 dev br0 nodad
             ip link set br0 up
             {}",
            broadcast_neighbours(address)
        ))?;
        Ok(Self {
            namespace,
            folder,
            address,
        })
    }

    /// The bridge's own address, where a server that runs here is reached.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The namespace in which the bridge lies.
    pub fn namespace(&self) -> &Arc<Namespace> {
        &self.namespace
    }

    /// The lab's folder.
    pub fn folder(&self) -> &Arc<RunFolder> {
        &self.folder
    }

    /// The machine's address on this wire: host part `100 + id`. Foreign servers reserve it.
    pub fn machine_ip(&self, id: u8) -> Ipv4Addr {
        let [a, b, c, _] = self.address.octets();
        Ipv4Addr::new(a, b, c, 100u8.saturating_add(id))
    }

    /// Makes sure that `tapID` exists on the bridge. The permanent neighbour entry is exempt from `gc_thresh3`, which all namespaces of a
    /// host share: a big namespace test elsewhere otherwise makes replies fail with ENOBUFS.
    pub(super) fn tap(&self, id: u8) -> Result<String> {
        let (ip, mac) = (self.machine_ip(id), machine_mac(id));
        self.namespace.sh(&format!(
            "ip link show tap{id} >/dev/null 2>&1 || ip tuntap add dev tap{id} mode tap
             ip link set tap{id} master br0 up
             ip neigh replace {ip} lladdr {mac} dev br0 nud permanent"
        ))?;
        Ok(format!("tap{id}"))
    }

    /// Another host on this wire: its own namespace with `eth0` at `address`/24. `name` (≤ 11 letters) names the cable's end on the bridge.
    pub fn host(&self, name: &str, address: Ipv4Addr) -> Result<Arc<Namespace>> {
        let host = self.namespace.beside()?;
        self.plug(&host, name, "eth0", address)?;
        Ok(Arc::new(host))
    }

    /// The same behind a router: it finds other wires by this one's own address.
    pub fn routed_host(&self, name: &str, address: Ipv4Addr) -> Result<Arc<Namespace>> {
        let host = self.host(name, address)?;
        host.sh(&format!("ip route add default via {}", self.address))?;
        Ok(host)
    }

    /// Tells these hosts of the wire, and its own, each other's hardware addresses for good. `gc_thresh3` (1,024) counts the neighbours of
    /// all namespaces together but not permanent ones: without this, some dozens of hosts that all talk to each other lose packets in silence.
    pub fn acquaint(&self, hosts: &[(Arc<Namespace>, Ipv4Addr)]) -> Result<()> {
        let mut all = vec![(&self.namespace, "br0", self.address)];
        all.extend(hosts.iter().map(|(host, address)| (host, "eth0", *address)));
        let mut neighbours = Vec::new();
        for (host, device, address) in &all {
            let link = host.run("ip", &["-o", "link", "show", device])?;
            let mac = link.split("link/ether ").nth(1);
            let mac = mac.and_then(|rest| rest.split(' ').next());
            neighbours.push((*address, mac.context("an Ethernet address")?.to_owned()));
        }
        for (host, device, own) in &all {
            let others = neighbours.iter().filter(|(address, _)| address != own);
            let lines: String = others
                .map(|(address, mac)| {
                    format!("neigh replace {address} lladdr {mac} dev {device} nud permanent\n")
                })
                .collect();
            host.sh(&format!("ip -batch - <<'END'\n{lines}END\n"))?;
        }
        Ok(())
    }

    fn plug(&self, host: &Namespace, name: &str, device: &str, address: Ipv4Addr) -> Result<()> {
        self.namespace.sh(&format!(
            "ip link add v{name} type veth peer name {device} netns {}
             ip link set v{name} master br0 up",
            host.pid()
        ))?;
        host.sh(&format!(
            "ip addr add {address}/24 brd + dev {device}; ip link set {device} up"
        ))?;
        if device == "eth0" {
            host.sh(&broadcast_neighbours(address).replace("br0", "eth0"))?;
        }
        self.wait_reachable(host)
    }

    /// A fresh veth drops packets until its carrier is up: wait for an answer to a ping.
    fn wait_reachable(&self, host: &Namespace) -> Result<()> {
        let address = self.address.to_string();
        wait_until(
            "the first ping over a new cable",
            Duration::from_secs(5),
            || Ok(host.run("busybox", &["ping", "-c1", "-W1", &address]).ok()),
        )?;
        Ok(())
    }
}

/// Even a broadcast takes a neighbour entry in Linux; permanent ones cannot be pushed out by other namespaces.
fn broadcast_neighbours(address: Ipv4Addr) -> String {
    let [a, b, c, _] = address.octets();
    format!(
        "for i in 255.255.255.255 {a}.{b}.{c}.255; do ip neigh replace $i lladdr ff:ff:ff:ff:ff:ff dev br0 nud permanent; done"
    )
}

/// One lab: the home segment 10.77.0.1/24 where the controller runs, and whatever is added beside it. Unique, so several can run at once.
#[derive(Debug)]
pub struct Space {
    home: Segment,
}

impl Space {
    /// The controller's address on the home segment.
    pub const CONTROLLER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    /// Where a foreign server on the home segment lives.
    pub const FOREIGN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
    /// The router's leg on the home segment.
    pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
    /// The router's leg on the far segment, which is that wire's gateway and relay.
    pub const FAR: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);

    /// Makes the namespace and its bridge. `name` (letters and hyphens) shows up in the folder's name.
    pub fn new(name: &str) -> Result<Self> {
        ensure!(
            name.len() <= 24,
            "a lab's name has at most 24 letters: unix socket paths are short"
        );
        let folder = Arc::new(RunFolder::create(name)?);
        let namespace = Arc::new(Namespace::first()?);
        Ok(Self {
            home: Segment::new(namespace, folder, Self::CONTROLLER)?,
        })
    }

    /// The wire on which the controller is.
    pub fn home(&self) -> &Segment {
        &self.home
    }

    /// The lab's folder with logs, sockets and disks.
    pub fn folder(&self) -> &Arc<RunFolder> {
        &self.home.folder
    }

    /// A command inside the controller's namespace; see [`Namespace::command`].
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.home.namespace.command(program)
    }

    /// Runs a program inside the controller's namespace to its end; its standard output.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        self.home.namespace.run(program, args)
    }

    /// Starts a background program inside the controller's namespace; output in `NAME.log` of the folder.
    pub fn service(&self, name: &str, command: Command) -> Result<Service> {
        Service::start(name, command, &self.folder().file(format!("{name}.log")))
    }

    /// Fetches an URL from inside: the body, or an error for every status but 2xx.
    pub fn http_get(&self, url: &str) -> Result<String> {
        let (status, body) = self.http("GET", url, "")?;
        ensure!((200..300).contains(&status), "GET {url}: {status}: {body}");
        Ok(body)
    }

    /// One HTTP request from inside: status and body, whatever the status is.
    pub fn http(&self, method: &str, url: &str, body: &str) -> Result<(u16, String)> {
        need::programs(&["curl"])?;
        let mut args = vec![
            "-sS",
            "--max-time",
            "20",
            "-w",
            "\n%{http_code}",
            "-X",
            method,
            url,
        ];
        match (method, body) {
            ("HEAD", _) => args.extend(["--head"]),
            (_, "") => {}
            _ => args.extend([
                "-H",
                "Content-Type: application/json",
                "--data-binary",
                body,
            ]),
        }
        let output = self.run("curl", &args)?;
        let (body, status) = output
            .rsplit_once('\n')
            .context("curl prints the status last")?;
        Ok((status.parse()?, body.to_owned()))
    }

    /// A plan for machine `id` (1..=99) on the home segment.
    pub fn machine(&self, id: u8) -> super::MachinePlan {
        super::MachinePlan::new(self.home.clone(), id)
    }

    /// A second wire 10.78.0.0/24 behind a router (10.77.0.3 at home, 10.78.0.1 there), with routes both ways. No broadcast crosses:
    /// machines there reach our controller only through a relay or a boot helper.
    pub fn far_segment(&self) -> Result<Segment> {
        let router = Arc::new(self.home.namespace.beside()?);
        let far = Segment::new(router.clone(), self.folder().clone(), Self::FAR)?;
        self.home.plug(&router, "router", "uplink", Self::ROUTER)?;
        router.sh("echo 1 >/proc/sys/net/ipv4/ip_forward")?;
        self.home
            .namespace
            .sh(&format!("ip route add 10.78.0.0/24 via {}", Self::ROUTER))?;
        Ok(far)
    }
}
