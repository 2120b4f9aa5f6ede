//! `enforcer peers …`

use clap::Subcommand;
use hyper::Method;

use super::{
    Session,
    client::{encode, read},
    consent::Consent,
    failure::Failure,
    output::{Format, Line, Output, ago, table, when},
};
use crate::{
    http::api::{
        heard_sites::HeardSiteDoc,
        peers::{AllowBody, InvitationDoc, JoinBody, PeerDoc},
        words::Presence,
    },
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
    #[command(after_help = "The site's name has to be typed; scripts say --yes.")]
    Revoke {
        /// Its name
        site: String,
        #[command(flatten)]
        consent: Consent,
    },
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Invite(output) => invite(&output, session).await,
        Verb::Join { invitation } => {
            let body = JoinBody { invitation };
            let joined = session.client.send(Method::POST, "/peers", &body).await?;
            let peer: PeerDoc = read(&joined)?;
            eprintln!(
                "{0} is a peer now; it may nothing yet: `enforcer peers allow {0} --help`",
                peer.site
            );
            Ok(())
        }
        Verb::List(output) => {
            let items = session.client.list("/peers").await?;
            if session.printed(&output, &items)? {
                return Ok(());
            }
            let heard = session.client.list("/heard-sites").await?;
            let mut rows = vec![HEADERS.map(str::to_owned)];
            for item in items {
                rows.push(row(&read(&item)?, session.now));
            }
            for item in heard {
                rows.push(heard_row(&read(&item)?, session.now));
            }
            session.text(&table(&rows))
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
        Verb::Revoke { site, consent } => {
            let peer: PeerDoc = read(&session.client.get(&path(&site)).await?)?;
            let loss = format!(
                "{} is no peer any more, and needs a new invitation to be one",
                peer.site
            );
            if !session.agreed(&consent, &peer.site, &loss)? {
                return Ok(());
            }
            let revoke = format!("{}/revoke", path(&site));
            session.client.send(Method::POST, &revoke, &()).await?;
            eprintln!("{site} gets nothing from now on, and nothing of it is served");
            Ok(())
        }
    }
}

async fn invite(output: &Output, session: &mut Session<'_>) -> Result<(), Failure> {
    if output.format == Format::Name {
        let text = "an invitation has no name; give -o json or -o yaml";
        return Err(Failure::Usage(text.to_owned()));
    }
    let made = session
        .client
        .send(Method::POST, "/peer-invitations", &())
        .await?;
    if session.printed(output, &made)? {
        return Ok(());
    }
    let made: InvitationDoc = read(&made)?;
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

const HEADERS: [&str; 7] = [
    "SITE", "STATE", "SINCE", "RTT", "MAY ASK", "MAY BOOT", "NAMES",
];

fn row(peer: &PeerDoc, now: Timestamp) -> [String; 7] {
    [
        peer.site.clone(),
        state(peer).to_owned(),
        ago(peer.presence_since.unwrap_or(peer.since), now),
        rtt(peer),
        listed(&peer.may_ask),
        boots(peer),
        peer.names.to_string(),
    ]
}

/// A site that is not joined here: nothing is known of it but what peers say.
fn heard_row(heard: &HeardSiteDoc, now: Timestamp) -> [String; 7] {
    let lives = if heard.alive { "" } else { ", down" };
    let dash = || "-".to_owned();
    [
        heard.site.clone(),
        format!("heard of through {}{lives}", heard.through.join(" ")),
        ago(heard.since, now),
        dash(),
        dash(),
        dash(),
        dash(),
    ]
}

/// Whether it is there; of a revoked one that it was revoked.
fn state(peer: &PeerDoc) -> &'static str {
    peer.presence.map_or(peer.state.word(), Presence::word)
}

fn rtt(peer: &PeerDoc) -> String {
    peer.rtt_ms
        .map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"))
}

fn lines(peer: &PeerDoc, now: Timestamp) -> Vec<Line> {
    vec![
        ("site", peer.site.clone()),
        ("state", state(peer).to_owned()),
        (
            "state since",
            when(peer.presence_since.unwrap_or(peer.since), now),
        ),
        ("round trip", rtt(peer)),
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
