//! The program under test: the real `enforcer` binary in the controller's namespace, with a state folder that outlives kill -9.

use super::process::{self, Service, wait_until};
use super::space::Space;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// DESIGN promises ready within 100 ms; a debug build beside two emulated machines needs more.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// Command line calls answer at once; followers are started with [`Controller::cli_command`].
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// A controller lets open transfers end for 8 s after SIGTERM, and its host may be busy with machines.
const STOP_LIMIT: Duration = Duration::from_secs(12);

/// How the controller shall run.
#[derive(Debug, Clone)]
pub struct ControllerPlan {
    name: String,
    config: Option<String>,
    flags: Vec<String>,
    env: Vec<(String, String)>,
    binary: Option<PathBuf>,
    host: Option<Arc<super::Namespace>>,
}

impl Default for ControllerPlan {
    fn default() -> Self {
        Self {
            name: "enforcer".to_owned(),
            config: None,
            flags: Vec::new(),
            env: Vec::new(),
            binary: None,
            host: None,
        }
    }
}

impl ControllerPlan {
    /// `enforcer serve` without a config file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names its state folder, socket and log when a lab has several. Default: `enforcer`.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The text of its TOML file.
    pub fn config(mut self, toml: &str) -> Self {
        self.config = Some(toml.to_owned());
        self
    }

    /// More flags after `serve`, e.g. `&["--dhcp", "server"]`.
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags
            .extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// An environment variable.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Another binary than [`binary`].
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Runs on another host of the wire (from [`super::Segment::host`]), e.g. as a remote Enforcer. Default: at 10.77.0.1.
    pub fn on(mut self, host: Arc<super::Namespace>) -> Self {
        self.host = Some(host);
        self
    }

    /// Starts it and waits until it is ready.
    pub fn start(self, space: &Space) -> Result<Controller> {
        let folder = space.folder().file(&self.name);
        fs::create_dir_all(&folder)?;
        if let Some(text) = &self.config {
            fs::write(folder.join("enforcer.toml"), text)?;
        }
        let binary = match &self.binary {
            Some(path) => path.clone(),
            None => binary()?,
        };
        let home = space.home().namespace();
        let host = self.host.clone().unwrap_or_else(|| home.clone());
        let mut controller = Controller {
            plan: self,
            binary,
            folder,
            host,
            service: None,
            ready_in: Duration::ZERO,
        };
        controller.restart()?;
        Ok(controller)
    }
}

/// The `enforcer` binary: `ENFORCER_BIN`, else beside the running test executable (`target/<profile>/enforcer`).
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("ENFORCER_BIN") {
        let path = PathBuf::from(path);
        ensure!(
            path.is_file(),
            "ENFORCER_BIN names {}, which does not exist",
            path.display()
        );
        return Ok(path);
    }
    process::built("enforcer")
        .context("the enforcer binary is not built: `cargo build -p enforcer`, or name one with ENFORCER_BIN")
}

/// A running (or killed) controller.
#[derive(Debug)]
pub struct Controller {
    plan: ControllerPlan,
    binary: PathBuf,
    folder: PathBuf,
    host: Arc<super::Namespace>,
    service: Option<Service>,
    ready_in: Duration,
}

impl Controller {
    /// The state folder (`--state`).
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The local API socket (`--api-socket`).
    pub fn api_socket(&self) -> PathBuf {
        self.folder.join("api.sock")
    }

    /// All it has logged, over all restarts.
    pub fn log(&self) -> String {
        fs::read(self.log_file())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits until the log of this run contains `text`.
    pub fn wait_log(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.service
            .as_mut()
            .context("the controller is not running")?
            .wait_log(text, limit)
    }

    /// Its process id on the host.
    pub fn pid(&self) -> Result<u32> {
        Ok(self
            .service
            .as_ref()
            .context("the controller is not running")?
            .pid())
    }

    /// How long the last start took until it was ready.
    pub fn ready_in(&self) -> Duration {
        self.ready_in
    }

    /// SIGKILL: nothing is flushed. The state folder stays as it is.
    pub fn kill9(&mut self) {
        if let Some(mut service) = self.service.take() {
            service.kill9();
        }
    }

    /// SIGTERM, as an operator stops it.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut service) = self.service.take() else {
            return Ok(());
        };
        let status = service
            .stop_within(STOP_LIMIT)
            .context("the controller did not end within its grace period after SIGTERM")?;
        ensure!(
            status.success(),
            "the controller ended with {status}: {}",
            process::tail(&service.log())
        );
        Ok(())
    }

    /// Starts it on the same state folder (ending it first if it runs) and waits until it is ready.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        let _ = fs::remove_file(self.api_socket());
        let started = Instant::now();
        let mut service = Service::start(&self.plan.name, self.serve_command(), &self.log_file())?;
        let ready = wait_until("the controller to be ready", READY_LIMIT, || {
            service.ensure_running()?;
            Ok(self.is_ready(&service).then_some(()))
        });
        self.ready_in = started.elapsed();
        ready.with_context(|| match service.ensure_running() {
            Ok(()) => format!(
                "the controller only said: {}",
                process::tail(&service.log())
            ),
            Err(_) => "the controller did not start".to_owned(),
        })?;
        self.service = Some(service);
        Ok(())
    }

    /// `enforcer serve` and its flags, inside the namespace.
    fn serve_command(&self) -> Command {
        let mut command = self.host.command(&self.binary);
        command
            .arg("serve")
            .arg("--state")
            .arg(self.state())
            .arg("--api-socket")
            .arg(self.api_socket());
        if self.plan.config.is_some() {
            command
                .arg("--config")
                .arg(self.folder.join("enforcer.toml"));
        }
        command
            .args(&self.plan.flags)
            .envs(self.plan.env.iter().map(|(key, value)| (key, value)))
            .env("NO_COLOR", "1");
        command
    }

    /// Ready is a 200 of `/healthz` on the local socket; a controller without that socket says `ready` in its log.
    fn is_ready(&self, service: &Service) -> bool {
        if self.api_socket().exists() {
            return self
                .api("GET", "/healthz", "")
                .is_ok_and(|(status, _)| status == 200);
        }
        service
            .log()
            .lines()
            .any(|line| line.split_whitespace().any(|word| word == "ready"))
    }

    /// Runs `enforcer ARGS` against this controller; its standard output, or an error with what it printed.
    pub fn cli<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<String> {
        process::output(self.cli_command(args))
    }

    /// The same as a command, for followers (`events -f`), expected failures and standard input.
    pub fn cli_command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = self.host.command(&self.binary);
        command
            .args(args)
            .env("ENFORCER_API_SOCKET", self.api_socket())
            .env("NO_COLOR", "1");
        command
    }

    /// One request over the local socket: status and body. `path` starts with `/`; a body is sent as JSON.
    pub fn api(&self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let mut stream = UnixStream::connect(self.api_socket())
            .context("connecting to the controller's socket")?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let length = body.len();
        // one write: a server may answer and close as soon as it has read enough
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse_answer(&answer)
    }

    /// All entries of a list of the API, e.g. `members`.
    pub fn list(&self, what: &str) -> Result<Vec<Value>> {
        let path = format!("/api/v1/{what}?limit=1000");
        let (status, body) = self.api("GET", &path, "")?;
        ensure!(status == 200, "GET {path}: {status}: {body}");
        let mut page: Value = serde_json::from_str(&body)?;
        serde_json::from_value(page["items"].take()).context("a list")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("enforcer.log")
    }

    /// The host on which it runs.
    pub fn host(&self) -> &Arc<super::Namespace> {
        &self.host
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Status and body of a whole HTTP/1.1 answer, chunked or not.
fn parse_answer(answer: &[u8]) -> Result<(u16, String)> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").context("not an HTTP answer")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .context("no status in the HTTP answer")?;
    if !head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        return Ok((status, body.to_owned()));
    }
    Ok((status, unchunk(body)?))
}

fn unchunk(mut body: &str) -> Result<String> {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).context("a chunk's size")?;
        if size == 0 {
            break;
        }
        let Some(chunk) = rest.get(..size) else {
            bail!("a chunk is cut short")
        };
        whole += chunk;
        body = rest[size..].trim_start_matches("\r\n");
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_and_plain_answers_give_the_same_body() {
        let plain = parse_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        let chunked = parse_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n").unwrap();
        assert_eq!(
            (plain, chunked),
            ((200, "hello".to_owned()), (200, "hello".to_owned()))
        );
    }
}
