//! The interfaces and addresses that the configuration names.

use ipxe_net::dhcp::{own_addresses, served};

use super::{Findings, Grade};
use crate::config::Config;

pub(super) fn look(config: &Config, found: &mut Findings) {
    let only = (!config.interfaces.is_empty()).then_some(config.interfaces.as_slice());
    let there = served(only);
    for name in config
        .interfaces
        .iter()
        .filter(|n| !there.iter().any(|s| s.name == **n))
    {
        let known: Vec<String> = served(None).into_iter().map(|s| s.name).collect();
        let text = format!(
            "there is no interface '{name}'; with an address are: {}",
            known.join(", ")
        );
        found.add(
            Grade::Problem,
            "interface-missing",
            text,
            "correct `interfaces`",
        );
    }
    for interface in &there {
        let name = &interface.name;
        if !interface.up {
            let cure = format!("ip link set {name} up");
            found.add(
                Grade::Problem,
                "interface-down",
                format!("{name} is switched off"),
                cure,
            );
        } else if interface.addresses.is_empty() {
            let text = format!("{name} has no IPv4 address: nobody can be answered there");
            let cure = format!("give it one that stays: ip address add ADDRESS/24 dev {name}");
            found.add(Grade::Problem, "address-missing", text, cure);
        } else {
            let all: Vec<String> = interface
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect();
            found.good("interface", format!("{name} has {}", all.join(", ")));
        }
    }
    if there.is_empty() && only.is_none() {
        let text = "no interface is up and has an IPv4 address";
        found.add(
            Grade::Problem,
            "address-missing",
            text,
            "plug a cable in, and give the host an address",
        );
    }
    let listen = config.listen;
    if !listen.is_unspecified() && !listen.is_loopback() && !own_addresses().contains(&listen) {
        let text = format!("`listen` is {listen}, which is no address of this host");
        found.add(Grade::Problem, "address-missing", text, "correct `listen`");
    }
}
