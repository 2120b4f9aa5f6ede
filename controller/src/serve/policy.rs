//! The config file and the installed management OSes as the policy that `decide` reads.

use ipxe::Arch;
use ipxe_net::dhcp::own_addresses;

use crate::{
    config::Config,
    management_os,
    ordered::sort_by,
    state::policy::{ManagementOs, MeshPolicy, Policy},
};

/// The policy as of now.
pub(super) fn of(config: &Config, mesh: Option<MeshPolicy>) -> Policy {
    let mut management: Vec<ManagementOs> = management_os::list(&config.state)
        .into_iter()
        .filter_map(|(folder, manifest)| {
            let name = folder.file_name()?.to_str()?.to_owned();
            Some(ManagementOs {
                arch: match manifest.arch {
                    management_os::Arch::Amd64 => Arch::X64,
                    management_os::Arch::Arm64 => Arch::Arm64,
                },
                flavour: manifest.flavour.to_string(),
                version: manifest.kernel,
                path: format!("/assets/management-os/{name}"),
            })
        })
        .collect();
    let other = |flavour: &String| *flavour != config.flavour;
    sort_by(&mut management, |a, b| {
        other(&a.flavour).cmp(&other(&b.flavour))
    });
    Policy {
        discovery: config.discovery,
        discovery_boot: config.discovery_boot.clone(),
        accept: config.accept,
        mesh,
        management,
        management_cmdline: config.management_cmdline.clone(),
        idle_wait_s: config.idle_wait_s,
        local_boot: config.local_boot,
        subnets: config.subnets.clone(),
        own_addresses: own_addresses(),
        audit: config.audit.retention,
    }
}
