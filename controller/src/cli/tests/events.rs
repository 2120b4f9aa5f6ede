//! Events, followed over a restart of the controller.

use std::{
    future::Future,
    io::{self, Write},
    time::Duration,
};

use tokio::sync::mpsc;

use super::{Controller, Failure, Person, parse, perform};

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
    let command = parse(&["events", "-f"]);
    let work = perform(command, socket, Person::nobody(), &mut out);
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
