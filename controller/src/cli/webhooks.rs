//! `enforcer webhooks …`

use std::time::Duration;

use clap::Subcommand;
use hyper::Method;

use super::{
    Session,
    client::{encode, filtered, read},
    failure::Failure,
    output::{Line, Output, ago, clean, dash, when},
    secret::read_secret,
};
use crate::{
    http::api::webhooks::{
        CreateBody, CreatedDoc, DeliveryDoc, DeliveryState, ReplayBody, ReplayedDoc, TestDoc,
        WebhookDoc,
    },
    state::Timestamp,
};

/// Between two looks at a test's delivery.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a test is watched: longer than a receiver may take to answer.
const WATCH: Duration = Duration::from_secs(40);

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Subscribe a server or a mail address to events; a server's secret is shown once
    #[command(
        after_help = "A server gets a POST with JSON, signed as https://www.standardwebhooks.com describes: `webhook-id` is the same at each\nattempt, `webhook-signature` is an HMAC-SHA256 of id, time and body. It must answer 2xx within 10 seconds; else it is tried\nagain for a day, less and less often. Mail needs a section [mail] in the controller's configuration.\n\nExamples:\n  enforcer webhooks create ci --url https://ci.example.org/enforcer\n  enforcer webhooks create me --mail me@example.org --kind 'deployment.*' --machine web1\n  enforcer webhooks create all --url http://10.0.0.5:8080/ --kind '*'"
    )]
    Create {
        /// A name for it
        name: String,
        /// The URL to send a POST to
        #[arg(long, conflicts_with = "mail", required_unless_present = "mail")]
        url: Option<String>,
        /// The address to mail to
        #[arg(long)]
        mail: Option<String>,
        /// Which events: a kind, a family like 'deployment.*', or '*'; how deployments end when absent
        #[arg(long = "kind")]
        kinds: Vec<String>,
        /// Only events of this machine: name, id or MAC
        #[arg(long)]
        machine: Option<String>,
        /// A file with a secret of your own (`whsec_…`), or - for standard input
        #[arg(long, conflicts_with = "mail")]
        secret_file: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// List webhooks
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Show a webhook
    Show {
        /// Its name
        webhook: String,
        #[command(flatten)]
        output: Output,
    },
    /// Delete a webhook, with all that waits for it
    Delete {
        /// Its name
        webhook: String,
    },
    /// Send a test, and tell how it went
    Test {
        /// Its name
        webhook: String,
    },
    /// List what was sent, what waits, and what was given up
    Deliveries {
        /// Its name
        webhook: String,
        /// Only those that stand so
        #[arg(long)]
        state: Option<DeliveryState>,
        #[command(flatten)]
        output: Output,
    },
    /// Send dead letters again, or one delivery
    Replay {
        /// Its name
        webhook: String,
        /// The delivery's number; all dead ones when absent
        delivery: Option<u64>,
    },
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Create {
            name,
            url,
            mail,
            kinds,
            machine,
            secret_file,
            output,
        } => {
            let body = CreateBody {
                name,
                url,
                mail,
                kinds,
                machine,
                secret: secret_file.map(|file| read_secret(&file)).transpose()?,
            };
            create(&body, &output, session).await
        }
        Verb::List { output } => {
            let items = session.client.list("/webhooks").await?;
            session.list(&output, items, HEADERS, row)
        }
        Verb::Show { webhook, output } => {
            let value = session.client.get(&path(&webhook)).await?;
            session.show(&output, value, details)
        }
        Verb::Delete { webhook } => {
            session.client.delete(&path(&webhook)).await?;
            eprintln!("webhook {webhook} is deleted");
            Ok(())
        }
        Verb::Test { webhook } => test(&webhook, session).await,
        Verb::Deliveries {
            webhook,
            state,
            output,
        } => {
            let state = state.map(DeliveryState::word);
            let list = filtered(&deliveries(&webhook), [("state", state)]);
            let items = session.client.list(&list).await?;
            session.list(&output, items, DELIVERY_HEADERS, delivery_row)
        }
        Verb::Replay { webhook, delivery } => {
            let body = ReplayBody { delivery };
            let again = format!("{}/replay", path(&webhook));
            let value = session.client.send(Method::POST, &again, &body).await?;
            let replayed: ReplayedDoc = read(&value)?;
            eprintln!("{} deliveries go out again", replayed.replayed);
            Ok(())
        }
    }
}

fn path(webhook: &str) -> String {
    format!("/webhooks/{}", encode(webhook))
}

fn deliveries(webhook: &str) -> String {
    format!("{}/deliveries", path(webhook))
}

async fn create(
    body: &CreateBody,
    output: &Output,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let value = session.client.send(Method::POST, "/webhooks", body).await?;
    if session.printed(output, &value)? {
        return Ok(());
    }
    let created: CreatedDoc = read(&value)?;
    eprintln!(
        "webhook {} is told of {}; try it with `enforcer webhooks test {0}`",
        created.webhook.name,
        created.webhook.kinds.join(", ")
    );
    let Some(secret) = created.secret else {
        return Ok(());
    };
    eprintln!("the secret that its messages are signed with (it is not shown again):");
    session.text(&format!("{secret}\n"))
}

/// Starts a test and watches its delivery.
async fn test(webhook: &str, session: &Session<'_>) -> Result<(), Failure> {
    let start = format!("{}/test", path(webhook));
    let started: TestDoc = read(&session.client.send(Method::POST, &start, &()).await?)?;
    let attempts = tokio::time::timeout(WATCH, attempted(webhook, started.event, session));
    let late = |_| Failure::Local(format!("webhook {webhook}: no attempt ended in time"));
    let delivery = attempts.await.map_err(late)??;
    let said = clean(&dash(delivery.last));
    match delivery.state {
        DeliveryState::Delivered => {
            eprintln!("webhook {webhook}: {said}");
            Ok(())
        }
        DeliveryState::Waiting | DeliveryState::Dead => {
            Err(Failure::Local(format!("webhook {webhook}: {said}")))
        }
    }
}

/// The delivery of an event, once it was tried.
async fn attempted(
    webhook: &str,
    event: u64,
    session: &Session<'_>,
) -> Result<DeliveryDoc, Failure> {
    let list = deliveries(webhook);
    loop {
        for item in session.client.list(&list).await? {
            let delivery: DeliveryDoc = read(&item)?;
            if delivery.event == event && delivery.last.is_some() {
                return Ok(delivery);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

const HEADERS: [&str; 7] = ["NAME", "TO", "EVENTS", "MACHINE", "WAITING", "DEAD", "LAST"];

fn row(webhook: &WebhookDoc, _: Timestamp) -> [String; 7] {
    [
        webhook.name.clone(),
        receiver(webhook),
        webhook.kinds.join(" "),
        dash(webhook.machine.as_ref()),
        webhook.waiting.to_string(),
        webhook.dead.to_string(),
        dash(webhook.last.as_ref()),
    ]
}

fn receiver(webhook: &WebhookDoc) -> String {
    dash(webhook.url.as_ref().or(webhook.mail.as_ref()))
}

fn details(webhook: &WebhookDoc, now: Timestamp) -> Vec<Line> {
    vec![
        ("name", webhook.name.clone()),
        ("to", receiver(webhook)),
        ("events", webhook.kinds.join(" ")),
        ("machine", dash(webhook.machine.as_ref())),
        ("made by", webhook.by.clone()),
        ("made", when(webhook.created, now)),
        ("waiting", webhook.waiting.to_string()),
        ("dead", webhook.dead.to_string()),
        ("lost", webhook.lost.to_string()),
        ("last", dash(webhook.last.as_ref())),
    ]
}

const DELIVERY_HEADERS: [&str; 7] = ["ID", "MESSAGE", "EVENT", "STATE", "TRIED", "NEXT", "LAST"];

fn delivery_row(delivery: &DeliveryDoc, now: Timestamp) -> [String; 7] {
    [
        delivery.id.to_string(),
        delivery.message_id.clone(),
        delivery.kind.clone(),
        delivery.state.word().to_owned(),
        delivery.attempts.to_string(),
        dash(delivery.next.map(|next| ago(next, now))),
        dash(delivery.last.as_ref()),
    ]
}
