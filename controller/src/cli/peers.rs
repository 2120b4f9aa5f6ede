//! `enforcer peers …`

use clap::Subcommand;
use hyper::Method;

use super::{
    Session,
    client::{encode, read},
    failure::Failure,
    output::{Format, Line, Output, ago, when},
};
use crate::{
    http::api::peers::{AllowBody, InvitationDoc, JoinBody, PeerDoc},
    state::Timestamp,
};

/// What can be done with other sites.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make an invitation for another site; it is shown once
    #[command(
        after_help = "Give the printed line to the other site's admin, as you would a password. It is good once and for an hour.\nSites that know each other may nothing yet: see `enforcer peers allow --help`.\n\nExample:\n  enforcer peers invite"
    )]
    Invite(Output),
    /// Accept another site's invitation
    Join {
        /// The line that `enforcer peers invite` printed there
        invitation: String,
    },
    /// List other sites
    List(Output),
    /// Show another site
    Show {
        /// Its name
        site: String,
        #[command(flatten)]
        output: Output,
    },
    /// Say what another site may; what is not given stays
    #[command(
        after_help = "A machine of this site boots at another when this site says --selector and the other --boots or --boots-unknown.\n\nExamples:\n  enforcer peers allow lab --selector pool=lab      # lab may boot our machines of this pool, at its place\n  enforcer peers allow hq --boots-unknown true      # hq may boot machines here that nobody registered here\n  enforcer peers allow lab --shows pool=lab         # its people may see our machines of this pool, and what happens to them\n  enforcer peers allow lab --gives-images true      # it may have our public images\n  enforcer peers allow lab --selector none          # nothing any more"
    )]
    Allow {
        /// Its name
        site: String,
        /// Machines registered here that it may boot at its place; `none` for none
        #[arg(long, value_name = "SELECTOR")]
        selector: Vec<String>,
        /// Machines registered here that it may boot here; `none` for none
        #[arg(long, value_name = "SELECTOR")]
        boots: Vec<String>,
        /// Whether it may boot machines here that nobody registered here
        #[arg(long, value_name = "true|false", required_unless_present_any = ["selector", "boots", "shows", "gives_images"])]
        boots_unknown: Option<bool>,
        /// Machines registered here that its people may see; `none` for none
        #[arg(long, value_name = "SELECTOR")]
        shows: Vec<String>,
        /// Whether it may have the public images of this site
        #[arg(long, value_name = "true|false")]
        gives_images: Option<bool>,
    },
    /// Part from another site, at once
    Revoke {
        /// Its name
        site: String,
    },
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Invite(output) => invite(&output, session).await,
        Verb::Join { invitation } => {
            let body = JoinBody { invitation };
            let joined = session.client.send(Method::POST, "/peers", &body).await?;
            let peer: PeerDoc = read(joined)?;
            eprintln!(
                "{0} is a peer now; it may nothing yet: `enforcer peers allow {0} --help`",
                peer.site
            );
            Ok(())
        }
        Verb::List(output) => {
            let items = session.client.list("/peers").await?;
            let headers = [
                "SITE", "STATE", "LINK", "MAY ASK", "MAY BOOT", "NAMES", "SINCE",
            ];
            session.list(&output, items, headers, row)
        }
        Verb::Show { site, output } => {
            let peer = session.client.get(&path(&site)).await?;
            session.show(&output, peer, lines)
        }
        Verb::Allow {
            site,
            selector,
            boots,
            boots_unknown,
            shows,
            gives_images,
        } => {
            let body = AllowBody {
                may_ask: wish(selector),
                may_boot: wish(boots),
                may_boot_unknown: boots_unknown,
                may_see: wish(shows),
                gives_images,
            };
            let sent = session
                .client
                .send(Method::PATCH, &path(&site), &body)
                .await;
            sent.map(drop)
        }
        Verb::Revoke { site } => {
            let revoke = format!("{}/revoke", path(&site));
            session.client.send(Method::POST, &revoke, &()).await?;
            eprintln!("{site} gets nothing from now on, and nothing of it is served");
            Ok(())
        }
    }
}

async fn invite(output: &Output, session: &mut Session<'_>) -> Result<(), Failure> {
    let made = session
        .client
        .send(Method::POST, "/peer-invitations", &())
        .await?;
    if output.format == Format::Json {
        return session.json(&made);
    }
    let made: InvitationDoc = read(made)?;
    eprintln!("on the other site, within an hour (the invitation is not shown again):");
    session.text(&format!("enforcer peers join {}\n", made.invitation))
}

/// Selectors as they were given: nothing said is no wish, `none` is the wish for none.
fn wish(given: Vec<String>) -> Option<Vec<String>> {
    match given.as_slice() {
        [] => None,
        [none] if none == "none" => Some(Vec::new()),
        _ => Some(given),
    }
}

fn path(site: &str) -> String {
    format!("/peers/{}", encode(site))
}

fn listed(selectors: &[String]) -> String {
    match selectors {
        [] => "-".to_owned(),
        some => some.join(" "),
    }
}

fn boots(peer: &PeerDoc) -> String {
    match (peer.may_boot.as_slice(), peer.may_boot_unknown) {
        ([], true) => "unknown machines".to_owned(),
        (some, true) => format!("{} and unknown machines", some.join(" ")),
        (some, false) => listed(some),
    }
}

fn row(peer: &PeerDoc, now: Timestamp) -> [String; 7] {
    [
        peer.site.clone(),
        peer.state.word().to_owned(),
        if peer.linked { "up" } else { "-" }.to_owned(),
        listed(&peer.may_ask),
        boots(peer),
        peer.names.to_string(),
        ago(peer.since, now),
    ]
}

fn lines(peer: &PeerDoc, now: Timestamp) -> Vec<Line> {
    vec![
        ("site", peer.site.clone()),
        ("state", peer.state.word().to_owned()),
        ("link", if peer.linked { "up" } else { "down" }.to_owned()),
        ("addresses", peer.addresses.join(", ")),
        ("CA", peer.ca_sha256.clone()),
        ("may ask about", listed(&peer.may_ask)),
        ("may boot here", boots(peer)),
        ("may see", listed(&peer.may_see)),
        (
            "may have",
            if peer.gives_images {
                "public images"
            } else {
                "-"
            }
            .to_owned(),
        ),
        ("names", format!("{} MACs", peer.names)),
        ("untold", format!("{} ends of boots", peer.untold)),
        ("by", format!("{}, {}", peer.by, when(peer.since, now))),
    ]
}
