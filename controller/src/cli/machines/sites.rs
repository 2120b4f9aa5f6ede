//! Machines of several sites as one table.

use serde_json::Value;

use crate::{
    cli::{
        Session,
        client::{encode, read},
        failure::Failure,
        output::{Output, ago, dash},
    },
    http::api::machines::sites::{SiteAnswerDoc, SiteMachineDoc, SiteMachinesDoc},
    ordered::sort_by,
    state::Timestamp,
};

const HEADERS: [&str; 8] = [
    "SITE", "NAME", "STATE", "MEMBER", "MAC", "FIRMWARE", "ACTIVE", "SEEN",
];

/// Lists them, page by page; sites that did not answer are named on stderr, once.
pub(super) async fn list(
    site: &str,
    output: &Output,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let path = format!("/machines?site={}", encode(site));
    let (mut items, mut silent) = (Vec::<Value>::new(), Vec::<SiteAnswerDoc>::new());
    let mut cursor = String::new();
    loop {
        let page = session.client.get(&format!("{path}{cursor}")).await?;
        let raw = page["items"].as_array().cloned().unwrap_or_default();
        let page: SiteMachinesDoc = read(&page)?;
        items.extend(raw);
        let missing = page.sites.into_iter().filter(|s| s.missing.is_some());
        silent.extend(missing);
        let Some(next) = page.next else { break };
        cursor = format!("&cursor={}", encode(&next));
    }
    sort_by(&mut silent, |a, b| a.site.cmp(&b.site));
    // Each page has asked it again.
    silent.dedup_by(|a, b| a.site == b.site);
    for answer in &silent {
        let why = answer.missing.as_deref().unwrap_or_default();
        eprintln!("{} shows nothing: {why}", answer.site);
    }
    session.list(output, items, HEADERS, row)
}

fn row(machine: &SiteMachineDoc, now: Timestamp) -> [String; 8] {
    let macs: Vec<String> = machine.macs.iter().map(ToString::to_string).collect();
    [
        machine.site.clone(),
        machine.name.clone(),
        machine.standing.word().to_owned(),
        dash(machine.member.map(|m| m.word())),
        macs.join(" "),
        dash(machine.firmware.as_ref()),
        dash(machine.active.as_ref()),
        ago(machine.last_seen, now),
    ]
}
