//! The simulators: each a process of its own, on ports of its own.

use std::{net::UdpSocket, process::Stdio, time::Duration};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

pub(super) const PASSWORD: &str = "s3cret";
/// A simulator that does not start fails its test.
const SOON: Duration = Duration::from_secs(60);

fn start(program: &str, arguments: &[&str], folder: &tempfile::TempDir) -> Child {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder.path());
    command.env("PYTHONPATH", folder.path());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = command.kill_on_drop(true).spawn();
    started.unwrap_or_else(|e| {
        panic!("{program} does not start ({e}); tests/preflight.sh installs it")
    })
}

/// OpenIPMI's `ipmi_sim`: a management controller whose chassis is a file.
pub(super) struct IpmiSim {
    port: u16,
    _process: Child,
    _folder: tempfile::TempDir,
}

impl IpmiSim {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            "lan.conf",
            &format!(
                "name \"web1\"\nset_working_mc 0x20\nstartlan 1\naddr 127.0.0.1 {port}\npriv_limit admin\nallowed_auths_admin none md2 md5 straight\nguid a123456789abcdefa123456789abcdef\nendlan\nchassis_control \"sh ./chassis\"\nuser 2 true \"ann\" \"{PASSWORD}\" admin 10 none md2 md5 straight\n"
            ),
        );
        write(
            "sim.emu",
            "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n",
        );
        write("power", "1\n");
        write(
            "chassis",
            "case \"$1 $2\" in\n'get power') echo \"power:$(cat power)\" ;;\n'set power') echo $3 >power ;;\nesac\n",
        );
        let arguments = ["-c", "lan.conf", "-f", "sim.emu", "-n", "-s", "state"];
        let process = start("ipmi_sim", &arguments, &folder);
        let board = Self {
            port,
            _process: process,
            _folder: folder,
        };
        timeout(SOON, board.ready())
            .await
            .expect("ipmi_sim answers");
        board
    }

    pub(super) fn address(&self) -> String {
        format!("ipmi://ann@127.0.0.1:{}?cipher=3", self.port)
    }

    /// Its port is bound when a ping (RMCP presence, ASF 2.0) is answered.
    async fn ready(&self) {
        let ping = [6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 0, 0, 0];
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        loop {
            let _ = socket.send_to(&ping, ("127.0.0.1", self.port)).await;
            let mut pong = [0; 64];
            if timeout(Duration::from_millis(50), socket.recv(&mut pong))
                .await
                .is_ok_and(|r| r.is_ok())
            {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// sushy-tools' emulator with its fake driver.
pub(super) struct Sushy {
    port: u16,
    tls: bool,
    _process: Child,
    _folder: tempfile::TempDir,
}

impl Sushy {
    /// With a certificate and its key: over TLS.
    pub(super) async fn start(tls: Option<(String, String)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        // The bcrypt of PASSWORD, as htpasswd writes it.
        write(
            "users",
            "ann:$2b$04$t3KvL0GAWbYH1EUv9Yx25elc8JjxEkhFvKU8Bvr9WV58khpJolZWq\n",
        );
        // It pretends to take up to eleven seconds for each action; here it has no patience.
        write(
            "sitecustomize.py",
            "import random\nrandom.randint = lambda low, high: 0\n",
        );
        let mut config = format!(
            "SUSHY_EMULATOR_FAKE_DRIVER = True\nSUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\nSUSHY_EMULATOR_LISTEN_PORT = {port}\nSUSHY_EMULATOR_AUTH_FILE = 'users'\nSUSHY_EMULATOR_STATE_DIR = '.'\nSUSHY_EMULATOR_FAKE_SYSTEMS = [{{'uuid': '7', 'name': 'web1', 'power_state': 'On', 'nics': []}}]\n"
        );
        if let Some((cert, key)) = &tls {
            write("cert.pem", cert);
            write("key.pem", key);
            config += "SUSHY_EMULATOR_SSL_CERT = 'cert.pem'\nSUSHY_EMULATOR_SSL_KEY = 'key.pem'\n";
        }
        write("emulator.conf", &config);
        let process = start(&program(), &["--config", "emulator.conf"], &folder);
        let board = Self {
            port,
            tls: tls.is_some(),
            _process: process,
            _folder: folder,
        };
        let ready = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, ready).await.expect("sushy-emulator answers");
        board
    }

    pub(super) fn address(&self) -> String {
        let scheme = if self.tls { "redfish" } else { "redfish+http" };
        format!("{scheme}://ann@127.0.0.1:{}", self.port)
    }
}

/// Its path; installed when it is not there yet.
fn program() -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/redfish.sh");
    let installed = std::process::Command::new("sh")
        .arg(script)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&installed.stderr).into_owned();
    assert!(installed.status.success(), "tests/redfish.sh: {said}");
    String::from_utf8(installed.stdout)
        .unwrap()
        .trim()
        .to_owned()
}
