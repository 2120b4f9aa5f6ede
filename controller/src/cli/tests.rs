//! The command line against a real controller's socket.

use std::{future::Future, path::Path, time::Duration};

use clap::Parser;
use http_body_util::BodyExt as _;
use tokio::{sync::mpsc, task::JoinHandle};
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
        let mut out = Vec::new();
        let socket = self.folder.path().join("api.sock");
        perform(parse(line), socket, &mut out).await?;
        Ok(String::from_utf8(out).unwrap())
    }
}

fn parse(line: &[&str]) -> Command {
    let words = std::iter::once("enforcer").chain(line.iter().copied());
    Line::try_parse_from(words)
        .unwrap_or_else(|e| panic!("{e}"))
        .command
}

mod images;

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
    c.run(&["machines", "delete", "web2"]).await.unwrap();
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
async fn a_config_goes_from_local_files_to_an_armed_machine() {
    let c = Controller::start();
    let (kernel, initrd) = (
        c.write("vmlinuz", "kernel"),
        c.write("initrd.img", "initrd"),
    );
    let seed = format!("seed.txt={}", c.write("seed", "I am {{ name }}"));
    let set = [
        "boot-configs",
        "set",
        "live",
        "--kernel",
        &kernel,
        "--initrd",
        &initrd,
        "--cmdline",
        "quiet host={{ name }}",
        "--answer",
        &seed,
    ];
    c.run(&set).await.unwrap();
    c.run(&[
        "machines",
        "register",
        "52:54:00:77:00:01",
        "--name",
        "web1",
    ])
    .await
    .unwrap();
    let preview = c
        .run(&["boot-configs", "preview", "live", "web1"])
        .await
        .unwrap();
    assert!(
        preview.starts_with("#!ipxe") && preview.contains("host=web1"),
        "{preview}"
    );
    let answer = [
        "boot-configs",
        "preview",
        "live",
        "web1",
        "--answer",
        "seed.txt",
    ];
    assert_eq!(c.run(&answer).await.unwrap(), "I am web1");
    c.run(&["boot-configs", "activate", "live", "web1", "--until", "2h"])
        .await
        .unwrap();
    let open = c.run(&["activations", "list", "--open"]).await.unwrap();
    assert!(open.contains("web1") && open.contains("armed"), "{open}");
    let explained = c.run(&["explain", "web1"]).await.unwrap();
    assert!(explained.contains("(web1) boots: config"), "{explained}");
    let list = c.run(&["boot-configs", "list"]).await.unwrap();
    assert!(list.contains("vmlinuz initrd.img seed.txt"), "{list}");
    c.run(&["boot-configs", "deactivate", "web1"])
        .await
        .unwrap();
    c.run(&["boot-configs", "delete", "live"]).await.unwrap();
    let unused = c
        .run(&["files", "list", "--unused", "-o", "json"])
        .await
        .unwrap();
    assert_eq!(unused.matches("\"sha256\"").count(), 2, "{unused}");
}

#[tokio::test]
async fn a_file_that_the_controller_has_is_not_sent_again() {
    let c = Controller::start();
    let kernel = c.write("vmlinuz", "kernel");
    let set = ["boot-configs", "set", "live", "--kernel", &kernel];
    c.run(&set).await.unwrap();
    let stored = c.site.api.assets.list().unwrap();
    let path = c.site.api.assets.path(&stored[0].sha256);
    let modified = |p: &Path| std::fs::metadata(p).unwrap().modified().unwrap();
    let before = modified(&path);
    c.run(&set).await.unwrap();
    assert_eq!(modified(&path), before);
}

#[tokio::test]
async fn an_upload_that_is_refused_early_says_why() {
    let c = Controller::start();
    let client = Client::new(c.folder.path().join("api.sock"));
    let endless = futures_util::stream::repeat_with(|| {
        Ok(hyper::body::Frame::data(bytes::Bytes::from(vec![
            0;
            1 << 20
        ])))
    });
    let body = http_body_util::StreamBody::new(endless).boxed_unsync();
    let path = format!("/files/{}", "0".repeat(64));
    let refused = client.upload(&path, 1 << 50, body).await;
    match refused {
        Err(Failure::Refused(problem)) => assert_eq!(problem.code, "body-too-large"),
        other => panic!("{other:?}"),
    }
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
    assert_eq!(code(c.run(&["machines", "show", "nobody"]).await), 1);
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
    assert_eq!(failure.exit_code(), 3);
    assert!(failure.to_string().contains("enforcer serve"), "{failure}");
}

/// Hands on what is written, line by line.
struct Lines(mpsc::UnboundedSender<String>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.0.send(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The next line that `lines` brings while `work` (the follower) goes on.
async fn next(
    lines: &mut mpsc::UnboundedReceiver<String>,
    work: &mut (impl Future<Output = Result<(), Failure>> + Unpin),
) -> String {
    tokio::select! {
        line = lines.recv() => line.unwrap(),
        // What never comes fails the test instead of hanging it.
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("no line came"),
        ended = work => panic!("the follower ended: {ended:?}"),
    }
}

#[tokio::test]
async fn events_are_followed_over_a_restart_and_none_is_missed_or_told_twice() {
    let c = Controller::start();
    let register = async |c: &Controller, n: u8| {
        let (mac, name) = (format!("52:54:00:77:00:0{n}"), format!("web{n}"));
        c.run(&["machines", "register", &mac, "--name", &name])
            .await
            .unwrap();
    };
    register(&c, 1).await;
    let (sender, mut lines) = mpsc::unbounded_channel();
    let mut out = Lines(sender);
    let socket = c.folder.path().join("api.sock");
    let work = perform(parse(&["events", "-f"]), socket, &mut out);
    tokio::pin!(work);
    let first = next(&mut lines, &mut work).await;
    assert!(
        first.contains("  web1               web1 (52:54:00:77:00:01) was registered"),
        "{first}"
    );
    register(&c, 2).await;
    assert!(next(&mut lines, &mut work).await.contains("web2"));
    let c = c.restart().await;
    register(&c, 3).await;
    assert!(next(&mut lines, &mut work).await.contains("web3"));
    register(&c, 4).await;
    assert!(next(&mut lines, &mut work).await.contains("web4"));
}
