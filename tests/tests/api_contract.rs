//! The API keeps what its document says. schemathesis asks each operation of a real controller with values at their limits, just
//! outside, of other types, missing and twice: no answer may be a fault of the controller, or have a status, a type or a body
//! that the document does not know. It asks twice: about names that it makes up, and about things that are there.

use std::{
    io::{BufRead, BufReader, Write, copy},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use enforcer_tests::lab::{Controller, ControllerPlan, Space};

/// Streams end when their reader goes: they are looked at here, not by schemathesis.
const STREAMS: &str = "stream$";
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// A TCP port on loopback that leads to the controller's socket: schemathesis knows no other way. Ends with the test.
fn bridge(socket: PathBuf) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // What cannot be joined is closed, which the client sees.
            if let Ok(controller) = UnixStream::connect(&socket) {
                let _ = join(client, controller);
            }
        }
    });
    Ok(address)
}

fn join(client: TcpStream, controller: UnixStream) -> Result<()> {
    let (mut asks, mut asked) = (client.try_clone()?, controller.try_clone()?);
    thread::spawn(move || {
        let _ = copy(&mut asks, &mut asked);
        let _ = asked.shutdown(Shutdown::Write);
    });
    let (mut answers, mut answered) = (controller, client);
    thread::spawn(move || {
        let _ = copy(&mut answers, &mut answered);
        let _ = answered.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// Its path; installed when it is not there yet.
fn schemathesis() -> Result<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/schemathesis.sh");
    let installed = Command::new(script).output()?;
    let said = String::from_utf8_lossy(&installed.stderr).into_owned();
    ensure!(installed.status.success(), "tests/schemathesis.sh: {said}");
    Ok(String::from_utf8(installed.stdout)?.trim().into())
}

fn ask_all(program: &Path, config: &str, controller: &Controller) -> Result<()> {
    let address = bridge(controller.api_socket())?;
    let document = format!("http://{address}/api/v1/openapi.json");
    let output = Command::new(program)
        .current_dir(controller.folder())
        .arg("--config-file")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(config))
        .args(["run", "--exclude-path-regex", STREAMS, &document])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{config}: {said}\n{complained}");
    let (healthy, _) = controller.api("GET", "/healthz", "")?;
    ensure!(healthy == 200, "the controller does not live any more");
    Ok(())
}

/// Things that requests are about, by the names that schemathesis-there.toml gives to parameters.
fn furnish(controller: &Controller) -> Result<()> {
    let config = r##"{"program": {"type": "ipxe", "script": "#!ipxe\nexit\n"}}"##;
    let disk = "\0".repeat(1 << 20);
    for (method, path, body) in [
        (
            "POST",
            "machines",
            r#"{"mac": "52:54:00:77:00:01", "name": "web1"}"#,
        ),
        ("PUT", "boot-configs/there", config),
        ("POST", "users", r#"{"name": "ann", "role": "operator"}"#),
        (
            "POST",
            "webhooks",
            r#"{"name": "there", "url": "http://127.0.0.1:9/"}"#,
        ),
        ("PUT", "images/there/versions", &disk),
        ("PUT", "setups/there", r#"{"items": [{"image": "there"}]}"#),
    ] {
        let (status, said) = controller.api(method, &format!("/api/v1/{path}"), body)?;
        ensure!(status < 300, "{method} {path}: {status}: {said}");
    }
    Ok(())
}

/// Status and type of an answer that does not end.
fn head(controller: &Controller, path: &str) -> Result<(String, String)> {
    let mut stream = UnixStream::connect(controller.api_socket())?;
    stream.set_read_timeout(Some(HEAD_LIMIT))?;
    write!(
        stream,
        "GET /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )?;
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next().context("no answer")??;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if let Some(kind) = line.strip_prefix("content-type: ") {
            return Ok((status, kind.to_owned()));
        }
    }
    Ok((status, String::new()))
}

#[test]
fn no_answer_is_a_fault_or_undocumented() -> Result<()> {
    let program = schemathesis()?;
    let space = Space::new("api-contract")?;
    let made_up = ControllerPlan::new()
        .flags(&["--dhcp", "off"])
        .start(&space)?;
    ask_all(&program, "schemathesis.toml", &made_up)?;
    drop(made_up);
    let there = ControllerPlan::new()
        .name("there")
        .flags(&["--dhcp", "off"]);
    let there = there.start(&space)?;
    furnish(&there)?;
    for (path, status, kind) in [
        ("events/stream", " 200 ", "text/event-stream"),
        (
            "events/stream?after=-1",
            " 400 ",
            "application/problem+json",
        ),
        (
            "events/stream?machine=nobody",
            " 404 ",
            "application/problem+json",
        ),
        (
            "deployments/stream?deployments=x",
            " 4",
            "application/problem+json",
        ),
        (
            "machines/nobody/logs/stream",
            " 404 ",
            "application/problem+json",
        ),
    ] {
        let (answered, shown) = head(&there, path)?;
        ensure!(
            answered.contains(status) && shown == kind,
            "{path}: {answered}, {shown}"
        );
    }
    ask_all(&program, "schemathesis-there.toml", &there)
}
