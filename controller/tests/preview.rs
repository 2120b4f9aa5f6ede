//! What `boot-configs preview` shows is, byte for byte, what the machine is served after activation.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod site;

use enforcer::state::{config::BootConfig, ops::Callback, policy::Policy};
use ipxe::MacAddr;
use site::{Site, ipxe_config, kernel_config};

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 1]);
/// A template that uses everything there is.
const FULL: &str = "echo {{ name }} {{ id }} {{ mac }} {{ mac_hyphens }} {{ uuid }} {{ serial }}\n\
    chain {{ file('x.bin') }} || echo ${net0/ip} \"quoted\" 'single' ü\n\n{{ answer('a') }} {{ done }} {{ failed }} {{ server }}";

/// Previews, activates, previews again, boots: all must be the same but for the nonce, which exists since the activation.
async fn check(config: BootConfig) {
    let site = Site::new(Policy::default());
    site.register(MAC, "web1").await;
    let config = site.set(config).await;
    let name = config.name.to_string();
    let preview = async || {
        let (status, told) = site
            .api(&format!("/boot-configs/{name}/preview?machine=web1"))
            .await;
        assert_eq!(status, 200, "{told}");
        told
    };
    let before = preview().await;
    let nonce = site.activate("web1", &name).await.nonce;
    let after = preview().await;
    let filled = before
        .to_string()
        .replace(&"0".repeat(32), &nonce.to_string());
    assert_eq!(
        filled,
        after.to_string(),
        "activating changes nothing but the nonce"
    );

    let served = site.script(MAC, "a").await;
    assert_eq!(after["script"].as_str().unwrap(), served);
    assert_eq!(
        after["answers"].as_object().unwrap().len(),
        config.answers.len()
    );
    for answer in config.answers.keys() {
        let (status, text) = site.get(&format!("/boot/n/{nonce}/{answer}")).await;
        assert_eq!(
            (status, after["answers"][answer].as_str().unwrap()),
            (200, text.as_str())
        );
    }
    assert_eq!(
        served,
        site.script(MAC, "b").await,
        "each boot gets the same"
    );
}

#[tokio::test]
async fn a_kernel_with_a_command_line() {
    check(kernel_config(
        "live",
        "quiet name={{ name }} url={{ answer('a') }} x=\"a b\"",
    ))
    .await;
    check(kernel_config("bare", "")).await;
}

#[tokio::test]
async fn an_ipxe_script() {
    check(ipxe_config("script", FULL)).await;
    check(ipxe_config("crlf", "echo a\r\necho b\r\n")).await;
}

#[tokio::test]
async fn answer_files() {
    let mut config = kernel_config("installer", "auto url={{ answer('preseed.cfg') }}");
    for (name, text) in [
        ("preseed.cfg", FULL),
        ("empty", ""),
        ("newlines", "\n\n{{ name }}\n\n"),
        (
            "plain",
            "no template at all, $HOME ${x} {# nothing #} \t end",
        ),
    ] {
        config.answers.insert(name.to_owned(), text.to_owned());
    }
    check(config).await;
}

#[tokio::test]
async fn what_is_armed_stays_what_it_was_and_the_preview_shows_what_comes_next() {
    let site = Site::new(Policy::default());
    site.register(MAC, "web1").await;
    site.set(ipxe_config("c", "echo first")).await;
    let first = site.activate("web1", "c").await;
    site.set(ipxe_config("c", "echo second {{ done }}")).await;
    let told = site.api("/boot-configs/c/preview?machine=web1").await.1;
    let preview = told["script"].as_str().unwrap().to_owned();
    assert!(preview.contains("echo second"));
    assert!(
        site.script(MAC, "a").await.contains("echo first"),
        "an armed config is not changed by an edit"
    );
    let done = Callback {
        nonce: first.nonce,
        failure: None,
    };
    site.apply(done).await;
    let second = site.activate("web1", "c").await;
    let expected = preview.replace(&"0".repeat(32), &second.nonce.to_string());
    assert_eq!(expected, site.script(MAC, "b").await);
}
