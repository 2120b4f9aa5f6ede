//! Whom a config that demands a proved key is served to (DESIGN §7): a machine with such a key, at an address of its own.

use std::{net::IpAddr, sync::Arc};

use mesh_proto::message::enrol::{KeyKind, Level};

use crate::state::{
    Timestamp, View, activation::Activation, config::BootConfig, machine::Machine,
    trust::key::EnrolledKey,
};

/// How a machine's key comes to T2.
const T2_CURE: &str = "compare the pairing code on its screen and run `enforcer machines accept --code`, or give it a join token";

/// Why a config is not served to this machine as it is now: its key, or a dispute about who it is.
#[must_use]
pub fn unproved(
    view: &View,
    machine: &Machine,
    config: &BootConfig,
    now: Timestamp,
) -> Option<String> {
    let wanted = config.level?;
    if let Some(dispute) = disputed(machine) {
        return Some(dispute);
    }
    // A key of the management OS was for one boot; what was proved a year ago says little of who asks today.
    let good = |k: &&Arc<EnrolledKey>| k.kind == KeyKind::Installed || now < k.expires;
    let keys = view.live_keys_of(&machine.id).filter(good);
    let proved = keys.map(|k| k.level).max();
    if proved >= Some(wanted) {
        return None;
    }
    let (has, cure) = match (proved, wanted) {
        (None, Level::T1) => (
            "it has no key now",
            "it gets one by itself in the management OS",
        ),
        (None, Level::T2) => ("it has no key now", T2_CURE),
        (Some(_), _) => ("its key is proved at t1", T2_CURE),
    };
    let word = match wanted {
        Level::T1 => "t1",
        Level::T2 => "t2",
    };
    Some(format!(
        "it goes only to a machine whose key is proved at {word}, and {has}: {cure}"
    ))
}

/// Nothing that destroys begins on a machine that two claim to be, until a person decides (DESIGN §5).
#[must_use]
pub(super) fn disputed(machine: &Machine) -> Option<String> {
    machine.disputed.as_ref().map(|_| {
        format!(
            "two claim to be {0}: decide first, `enforcer machines resolve {0} --keep enrolled|newcomer`",
            machine.name
        )
    })
}

/// Why a config that demands a proved key does not go to this asker: others on the segment can ask in the machine's name.
/// `known`: DHCP knows the address as the machine's now.
#[must_use]
pub fn not_its_address(activation: &Activation, asker: IpAddr, known: bool) -> Option<String> {
    activation.config.level?;
    // An installer asks for the last of its files long after it asked DHCP for the address.
    let its = known || activation.addresses.contains(&asker);
    (!its).then(|| {
        format!(
            "it goes only to the address that DHCP knows for this machine, and {asker} is another"
        )
    })
}
