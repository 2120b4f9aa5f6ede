//! Step 3: remote Enforcers. Which of them may be asked about a machine, and whether what one granted may still be served.

use ipxe::{BootPlan, MacAddr};
use mesh_proto::message::peer::MAX_HOPS;

use super::{Case, Found, Why, decided, passed};
use crate::state::{
    View,
    activation::Activation,
    machine::Machine,
    peer::{Peer, Peers, Trail},
};

const RULE: &str = "peers";

/// The peers that are asked about this MAC: they have named it, may boot it here, and the question has not been there.
pub fn askable<'a>(
    view: &'a View,
    mac: MacAddr,
    trail: &'a Trail,
) -> impl Iterator<Item = &'a Peer> + use<'a> {
    let machine = view.machine_by_mac(mac).map(AsRef::as_ref);
    let may_go_on = trail.hops < MAX_HOPS;
    view.peers_naming(mac)
        .map(AsRef::as_ref)
        .filter(move |p| may_go_on && p.may_boot_here(machine) && !trail.visited.contains(&p.site))
}

/// Asks peers, unless they were asked.
pub(super) fn peers(case: &Case<'_>, why: &mut Vec<Why>) -> Found {
    let (view, mac) = (case.view, case.request.mac);
    let trail = match &case.request.peers {
        Peers::Ask(trail) => trail,
        Peers::Asked(answers) => {
            let said: Vec<String> = answers.iter().map(ToString::to_string).collect();
            return passed(why, RULE, said.join("; "));
        }
    };
    if !view.peers().any(|p| p.is_joined()) {
        return passed(why, RULE, "no remote Enforcer is configured");
    }
    let sites = |peers: Vec<&Peer>| {
        let sites: Vec<&str> = peers.iter().map(|p| p.site.as_str()).collect();
        sites.join(", ")
    };
    let named: Vec<&Peer> = view.peers_naming(mac).map(AsRef::as_ref).collect();
    if named.is_empty() {
        return passed(why, RULE, "no remote Enforcer has named this MAC");
    }
    let asked: Vec<&Peer> = askable(view, mac, trail).collect();
    if asked.is_empty() {
        let found = match trail.visited.is_empty() {
            true => format!(
                "{0} has something for it, but may not boot it here: `enforcer peers allow` says which machines a site may boot",
                sites(named)
            ),
            false => format!(
                "{} was asked already, or the question came too far",
                sites(named)
            ),
        };
        return passed(why, RULE, found);
    }
    decided(
        why,
        RULE,
        format!("{} has named it, and is asked", sites(asked)),
    );
    Some((BootPlan::AskPeers, None))
}

/// Why a config that a peer granted is not served any more: it was revoked, its permission was taken back, or the owner has
/// ended it and names the machine no more.
pub(super) fn no_more_ours(view: &View, machine: &Machine, due: &Activation) -> Option<String> {
    let site = &due.taken.as_ref()?.site;
    let peer = view.peer(site);
    if !peer.is_some_and(|p| p.may_boot_here(Some(machine))) {
        return Some(format!("{site} may not boot this machine here"));
    }
    let named = view.named_by(site);
    let still = named.is_some_and(|n| machine.macs.iter().any(|m| n.macs.contains(m)));
    (!still).then(|| format!("{site}, whose it is, does not name this machine any more"))
}
