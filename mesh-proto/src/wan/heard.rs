//! Sites that nobody joined here, as peers list them. Shown to people; nothing else is done with it, and it is not passed on: who
//! is heard of is a peer's peer, never further away.

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use super::{RowState, SiteRow};
use crate::identity::NodeId;

/// Rows kept, over all tellers.
pub const MAX_HEARD: usize = 256;
/// Rows of one teller: the sites that one may join. A liar fills its own share, not the others'.
const MAX_EACH: usize = 64;

/// A site that was heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardSite {
    /// Its name.
    pub site: String,
    /// The peers that list it, by their ids' order.
    pub through: Vec<String>,
    /// Whether one of them says that it lives.
    pub alive: bool,
    /// Where it listens, as they say.
    pub addresses: Vec<SocketAddr>,
    /// Since when it is listed so by one of them.
    pub since: Instant,
}

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<NodeId, BTreeMap<String, (Instant, SiteRow)>>);

impl Heard {
    /// A peer says this of a site that is not joined here.
    pub(super) fn put(&mut self, now: Instant, teller: NodeId, row: &SiteRow) {
        let total: usize = self.0.values().map(BTreeMap::len).sum();
        let rows = self.0.entry(teller).or_default();
        let room = total < MAX_HEARD && rows.len() < MAX_EACH;
        match rows.get_mut(&row.site) {
            _ if row.state == RowState::Forgotten => {
                rows.remove(&row.site);
            }
            Some((since, known)) => {
                if lives(known) != lives(row) {
                    *since = now;
                }
                *known = row.clone();
            }
            None if room => {
                rows.insert(row.site.clone(), (now, row.clone()));
            }
            None => {}
        }
    }

    /// A peer begins its list anew, or is none any more.
    pub(super) fn forget_teller(&mut self, teller: NodeId) {
        self.0.remove(&teller);
    }

    /// A site is joined now.
    pub(super) fn forget_site(&mut self, site: &str) {
        self.0.values_mut().for_each(|rows| {
            rows.remove(site);
        });
    }

    /// All, by name.
    pub(super) fn all(&self, name_of: impl Fn(NodeId) -> Option<String>) -> Vec<HeardSite> {
        let mut all = BTreeMap::<&str, HeardSite>::new();
        for (teller, rows) in &self.0 {
            let Some(teller) = name_of(*teller) else {
                continue;
            };
            for (site, (since, row)) in rows {
                let heard = all.entry(site).or_insert_with(|| HeardSite {
                    site: site.clone(),
                    through: Vec::new(),
                    alive: false,
                    addresses: Vec::new(),
                    since: *since,
                });
                heard.through.push(teller.clone());
                if lives(row) && !heard.alive {
                    (heard.alive, heard.since) = (true, *since);
                    heard.addresses.clone_from(&row.addresses);
                }
            }
        }
        all.into_values().collect()
    }
}

fn lives(row: &SiteRow) -> bool {
    match row.state {
        RowState::Alive | RowState::Suspect => true,
        RowState::Down | RowState::Forgotten => false,
    }
}
