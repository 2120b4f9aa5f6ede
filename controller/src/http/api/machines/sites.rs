//! Machines of several sites in one list: ours, and what joined sites show of theirs. Each row says whose it is.

use ipxe::MacAddr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    federation::SiteRows,
    http::{
        Api,
        api::{
            Page,
            page::page_limit,
            words::{MemberState, Standing},
        },
        error::{Code, Problem},
        extract::parse,
    },
    ordered::sort_by,
    state::{
        Timestamp, View, machine::Machine, ops::PeerError, peer::SiteName,
        shown::heard::SeenMachine,
    },
};

/// Every site.
const ALL: &str = "all";

/// A machine of some site: what its people show of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SiteMachine)]
pub struct SiteMachineDoc {
    /// Whose it is.
    pub site: String,
    /// Its name there.
    pub name: String,
    /// Seen, registered or accepted.
    pub standing: Standing,
    /// The verdict on its agent there; absent: it never had a link, or the word is not known here.
    pub member: Option<MemberState>,
    /// Its NICs, lowest first, at most four.
    #[schema(value_type = Vec<String>)]
    pub macs: Vec<MacAddr>,
    /// The firmware it booted with last.
    pub firmware: Option<String>,
    /// The boot config that is due for it there.
    pub active: Option<String>,
    /// When it asked last, by our clock.
    pub last_seen: Timestamp,
}

/// How one site answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SiteAnswer)]
pub struct SiteAnswerDoc {
    /// Which site.
    pub site: String,
    /// Why its machines are not in the list; absent: it answered, with as many as it shows.
    pub missing: Option<String>,
}

/// Machines of several sites, by site and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SiteMachines)]
pub struct SiteMachinesDoc {
    /// The entries.
    pub items: Vec<SiteMachineDoc>,
    /// How each site answered that was asked for this page.
    pub sites: Vec<SiteAnswerDoc>,
    /// Ask again with `cursor` set to this for the entries that follow; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a list of machines is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = MachineList)]
pub enum MachineListDoc {
    /// With `site`: of other sites too, read-only and in short.
    Sites(SiteMachinesDoc),
    /// Without: registered and seen here.
    Here(Page<super::MachineDoc>),
}

impl SiteMachineDoc {
    fn of(site: &SiteName, seen: &SeenMachine) -> Self {
        Self {
            site: site.to_string(),
            name: seen.name.to_string(),
            standing: seen.standing.into(),
            member: seen.member.map(Into::into),
            macs: seen.macs.clone(),
            firmware: seen.firmware.clone(),
            active: seen.active.as_ref().map(ToString::to_string),
            last_seen: seen.last_seen,
        }
    }
}

/// A page of the machines of `site`, or of all.
pub(super) async fn list(
    api: &Api,
    site: &str,
    (limit, cursor): (Option<usize>, Option<String>),
) -> Result<SiteMachinesDoc, Problem> {
    let federation = api.mesh()?.federation();
    let limit = page_limit(limit)?;
    let behind = cursor.as_deref().map(behind).transpose()?;
    let view = api.store.view();
    let own = federation.own_site();
    let wanted = wanted(site, own, &view)?;
    let due = wanted.into_iter().filter_map(|site| match &behind {
        Some((at, _)) if site < *at => None,
        Some((at, name)) if site == *at => Some((site, (Some(name.as_str()), limit))),
        _ => Some((site, (None, limit))),
    });
    let (ours, theirs): (Vec<_>, Vec<_>) = due.partition(|(site, _)| site == own);
    let mut shown = federation.machines_at(theirs).await;
    shown.extend(ours.into_iter().map(|(site, part)| SiteRows {
        shown: Ok(here(&view, part)),
        site,
    }));
    sort_by(&mut shown, |a, b| a.site.cmp(&b.site));
    Ok(merged(&shown, limit))
}

/// The sites that a person means.
fn wanted(site: &str, own: &SiteName, view: &View) -> Result<Vec<SiteName>, Problem> {
    let joined = view.peers().filter(|p| p.is_joined());
    let mut all: Vec<SiteName> = joined.map(|p| p.site.clone()).collect();
    all.push(own.clone());
    if site != ALL {
        let one: SiteName = parse(site, "site")?;
        if !all.contains(&one) {
            return Err(PeerError::NotFound(one.to_string()).into());
        }
        all = vec![one];
    }
    Ok(all)
}

/// A cursor: `site/name`.
fn behind(cursor: &str) -> Result<(SiteName, String), Problem> {
    let bad = || Problem::new(Code::BadValue, "cursor: it is no `next` of this list");
    let (site, name) = cursor.split_once('/').ok_or_else(bad)?;
    Ok((site.parse().map_err(|_| bad())?, name.to_owned()))
}

/// Ours, as a peer would see them that may see all.
fn here(view: &View, (after, limit): crate::federation::Part<'_>) -> (Vec<SeenMachine>, bool) {
    let behind = |m: &&Machine| after.is_none_or(|a| m.name.as_str() > a);
    let all = view.machines().map(AsRef::as_ref).filter(behind);
    let mut all: Vec<&Machine> = all.collect();
    sort_by(&mut all, |a, b| a.name.cmp(&b.name));
    let more = all.len() > limit;
    let shown = all.into_iter().take(limit);
    (shown.map(|m| SeenMachine::of(m, view)).collect(), more)
}

/// One list of what all sites showed, cut to a page.
fn merged(shown: &[SiteRows], limit: usize) -> SiteMachinesDoc {
    let rows = shown
        .iter()
        .filter_map(|s| Some((s, s.shown.as_ref().ok()?)));
    let items = rows.flat_map(|(s, (rows, _))| rows.iter().map(|r| SiteMachineDoc::of(&s.site, r)));
    let mut items: Vec<SiteMachineDoc> = items.collect();
    let more = items.len() > limit || shown.iter().any(|s| matches!(s.shown, Ok((_, true))));
    items.truncate(limit);
    let next = items.last().filter(|_| more);
    SiteMachinesDoc {
        next: next.map(|last| format!("{}/{}", last.site, last.name)),
        sites: shown.iter().map(SiteAnswerDoc::of).collect(),
        items,
    }
}

impl SiteAnswerDoc {
    fn of(rows: &SiteRows) -> Self {
        Self {
            site: rows.site.to_string(),
            missing: rows.shown.as_ref().err().cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(site: &str, names: &[&str], more: bool) -> SiteRows {
        let row = |name: &&str| SeenMachine {
            name: name.parse().unwrap(),
            standing: crate::state::machine::Standing::Registered,
            member: None,
            macs: Vec::new(),
            firmware: None,
            active: None,
            last_seen: Timestamp::UNIX_EPOCH,
        };
        SiteRows {
            site: site.parse().unwrap(),
            shown: Ok((names.iter().map(row).collect(), more)),
        }
    }

    #[test]
    fn a_page_of_many_sites_goes_on_where_it_was_cut_and_names_who_is_silent() {
        let dead = SiteRows {
            site: "b".parse().unwrap(),
            shown: Err("did not answer within 1500 ms".to_owned()),
        };
        let all = [
            shown("a", &["x", "y"], false),
            dead,
            shown("c", &["a"], false),
        ];
        let page = merged(&all, 2);
        assert_eq!(page.next.as_deref(), Some("a/y"));
        assert_eq!(page.items.len(), 2);
        let (site, name) = behind(page.next.as_deref().unwrap()).unwrap();
        assert_eq!((site.as_str(), name.as_str()), ("a", "y"));
        let whole = merged(&all, 3);
        assert_eq!((whole.next, whole.items.len()), (None, 3));
        let missing: Vec<_> = whole.sites.iter().map(|s| s.missing.is_some()).collect();
        assert_eq!(missing, [false, true, false]);
        let full = merged(&[shown("a", &["x", "y"], true)], 2);
        assert_eq!(full.next.as_deref(), Some("a/y"));
        assert!(behind("a").is_err() && behind("A b/x").is_err());
    }
}
