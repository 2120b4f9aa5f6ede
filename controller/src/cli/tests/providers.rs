//! Claims about how providers are printed.

use super::*;
use crate::http::tests::providers::with_providers;

#[tokio::test]
async fn a_provider_that_does_not_answer_says_why_and_when_it_is_asked_again() {
    let (site, port, _tasks) = with_providers().await;
    let c = Controller::start_on(site, tempfile::tempdir().unwrap());
    let list = c.run(&["providers", "list"]).await.unwrap();
    let lab = list.lines().find(|l| l.starts_with("lab")).unwrap();
    let columns: Vec<&str> = lab.split_whitespace().collect();
    let at = format!("127.0.0.1:{port}");
    assert_eq!(columns[..4], ["lab", "serf", &at, "silent"], "{list}");
    assert!(
        lab.contains("0 of 0") && lab.contains("cannot be reached"),
        "{list}"
    );
    assert!(lab.contains("; asked "), "{list}");
    let show = c.run(&["providers", "show", "lab"]).await.unwrap();
    for line in [
        "failures in a row",
        "last failure",
        "(unreachable)",
        "asked again",
    ] {
        assert!(show.contains(line), "no {line} in {show}");
    }
    let missing = c.run(&["providers", "show", "nobody"]).await;
    assert_eq!(refusal(missing), "provider-not-found");
}
