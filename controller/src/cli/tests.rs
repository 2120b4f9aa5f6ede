//! The command line against a real controller's socket.

mod book;
mod boot_configs;
mod certificates;
mod events;
mod explain;
mod help;
mod images;
mod man;
mod output;
mod providers;
mod shown;
mod support;

use clap::Parser;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::http::{
    local::{self, PeerRule},
    router,
    tests::Site,
};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// A controller that serves its API on a socket.
struct Controller {
    site: Site,
    folder: tempfile::TempDir,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Controller {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_on(Site::new(), folder)
    }

    fn start_on(mut site: Site, folder: tempfile::TempDir) -> Self {
        let stop = CancellationToken::new();
        site.api.stop = stop.clone();
        let listener = local::listen(&folder.path().join("api.sock")).unwrap();
        let router = router(site.api.clone());
        let rule = PeerRule::of_this_host();
        let served = tokio::spawn(local::serve(listener, router, rule, stop.clone()));
        Self {
            site,
            folder,
            stop,
            served,
        }
    }

    async fn restart(self) -> Self {
        self.stop.cancel();
        self.served.await.unwrap();
        Self::start_on(self.site, self.folder)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Runs a command line; its data.
    async fn run(&self, line: &[&str]) -> Result<String, Failure> {
        self.run_as(Person::nobody(), line).await
    }

    /// The same with somebody at the terminal.
    async fn run_as(&self, person: Person, line: &[&str]) -> Result<String, Failure> {
        let mut out = Vec::new();
        let socket = self.folder.path().join("api.sock");
        perform(parse(line), socket, person, &mut out).await?;
        Ok(String::from_utf8(out).unwrap())
    }
}

fn parse(line: &[&str]) -> Command {
    let words = std::iter::once("enforcer").chain(line.iter().copied());
    Line::try_parse_from(words)
        .unwrap_or_else(|e| panic!("{e}"))
        .command
}

fn refusal(result: Result<String, Failure>) -> String {
    match result {
        Err(Failure::Refused(problem)) => problem.code,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory as _;
    Line::command().debug_assert();
}

#[tokio::test]
async fn machines_are_registered_listed_renamed_and_forgotten() {
    let c = Controller::start();
    c.run(&["machines", "register", "5254.0077.0001", "--name", "web1"])
        .await
        .unwrap();
    let list = c.run(&["machines", "list"]).await.unwrap();
    let columns: Vec<&str> = list.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(
        columns[..5],
        ["web1", "registered", "-", "-", "52:54:00:77:00:01"],
        "{list}"
    );
    c.run(&[
        "machines",
        "set",
        "web1",
        "--name",
        "web2",
        "--local-boot",
        "exit",
    ])
    .await
    .unwrap();
    let show = c
        .run(&["machines", "show", "52-54-00-77-00-01"])
        .await
        .unwrap();
    assert!(
        show.contains("web2") && show.contains("local boot  exit"),
        "{show}"
    );
    c.run(&["machines", "delete", "web2", "--yes"])
        .await
        .unwrap();
    assert_eq!(
        c.run(&["machines", "list", "-o", "json"]).await.unwrap(),
        "[]\n"
    );
    assert_eq!(
        refusal(c.run(&["machines", "show", "web2"]).await),
        "machine-not-found"
    );
}

#[tokio::test]
async fn reservations_are_kept_and_leases_listed() {
    let c = Controller::start();
    let set = [
        "reservations",
        "set",
        "52:54:00:77:00:01",
        "10.0.0.5",
        "--hostname",
        "web1",
    ];
    c.run(&set).await.unwrap();
    let list = c.run(&["reservations", "list"]).await.unwrap();
    assert!(
        list.contains("10.0.0.5  52:54:00:77:00:01  -        web1"),
        "{list}"
    );
    let taken = ["reservations", "set", "52:54:00:77:00:02", "10.0.0.5"];
    assert_eq!(refusal(c.run(&taken).await), "address-taken");
    c.run(&["reservations", "delete", "525400770001"])
        .await
        .unwrap();
    assert_eq!(
        c.run(&["leases", "list", "-o", "json"]).await.unwrap(),
        "[]\n"
    );
}

#[tokio::test]
async fn a_webhook_is_made_tested_and_its_dead_letters_are_replayed() {
    let c = Controller::start();
    let notifier = crate::notify::Notifier::new(
        c.site.api.store.clone(),
        crate::notify::Courier::new(None),
        c.site.api.metrics.clone(),
        crate::state::notify::Retry {
            give_up: jiff::SignedDuration::ZERO,
            ..Default::default()
        },
    );
    tokio::spawn(notifier.run(c.stop.clone()));
    // Nobody listens there: the port is free again.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}/");
    let secret = c
        .run(&["webhooks", "create", "ci", "--url", &url])
        .await
        .unwrap();
    assert!(secret.starts_with("whsec_"), "{secret}");
    let failed = c
        .run(&["webhooks", "test", "ci"])
        .await
        .unwrap_err()
        .to_string();
    assert!(failed.contains("cannot be reached"), "{failed}");
    let dead = c
        .run(&["webhooks", "deliveries", "ci", "--state", "dead"])
        .await
        .unwrap();
    assert!(dead.contains("webhook.test"), "{dead}");
    c.run(&["webhooks", "replay", "ci"]).await.unwrap();
    let list = c.run(&["webhooks", "list"]).await.unwrap();
    assert!(
        list.contains(&url) && list.contains("deployment.online"),
        "{list}"
    );
    let given = c.write("secret", &secret);
    let same = [
        "webhooks",
        "create",
        "other",
        "--url",
        &url,
        "--secret-file",
        &given,
        "-o",
        "json",
    ];
    assert!(c.run(&same).await.unwrap().contains(secret.trim()));
    c.run(&["webhooks", "delete", "ci"]).await.unwrap();
    assert_eq!(
        refusal(c.run(&["webhooks", "show", "ci"]).await),
        "webhook-not-found"
    );
}

#[tokio::test]
async fn failures_have_their_exit_codes() {
    let c = Controller::start();
    let code = |r: Result<String, Failure>| r.unwrap_err().exit_code();
    assert_eq!(code(c.run(&["machines", "show", "nobody"]).await), 3);
    let register = [
        "machines",
        "register",
        "52:54:00:77:00:02",
        "--name",
        "web2",
    ];
    c.run(&register).await.unwrap();
    let taken = [
        "machines",
        "register",
        "52:54:00:77:00:03",
        "--name",
        "web2",
    ];
    assert_eq!(code(c.run(&taken).await), 6);
    assert_eq!(code(c.run(&["get", "nonsense"]).await), 2);
    assert_eq!(code(c.run(&["machines", "set", "web1"]).await), 2);
    let missing = [
        "boot-configs",
        "set",
        "x",
        "--kernel",
        "/nonexistent/vmlinuz",
    ];
    assert_eq!(code(c.run(&missing).await), 1);
    std::fs::remove_file(c.folder.path().join("api.sock")).unwrap();
    let failure = c.run(&["machines", "list"]).await.unwrap_err();
    assert_eq!(failure.exit_code(), 4);
    assert!(failure.to_string().contains("enforcer serve"), "{failure}");
}
