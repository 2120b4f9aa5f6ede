//! Step 2 of the decision: the management OS, when discovery wants it or when it has to come before a config.

use ipxe::{Arch, BootPlan, FileRef, KernelBoot};

use super::{Case, Claim, Found, Why, decided, discovered, passed};
use crate::state::{
    machine::{MachineName, Standing},
    policy::{Discovery, ManagementOs, MeshPolicy},
};

/// The rule's stable word.
const RULE: &str = "management-os";
/// iPXE came back without it.
const NOT_LOADED: &str = "could not be loaded in this boot";
/// Nobody built or imported one.
const NONE_INSTALLED: &str =
    "none is installed for this processor: run `enforcer management-os build`";
/// An unaccepted machine gets one discovery boot in this time, so that a forgotten one is not a heater.
const DISCOVERY_EVERY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// A person's wish for the management OS is forgotten after this time: whoever starts the machine then wants its disk.
const INSPECT_WITHIN: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

pub(super) fn management(case: &Case<'_>, why: &mut Vec<Why>) -> Found {
    if case.request.after_management {
        return passed(why, RULE, NOT_LOADED);
    }
    // A person wants the config, so neither discovery nor the day matter.
    let wanted = match &case.waits {
        Some(missing) => Ok(format!("it comes first: {missing}")),
        None if inspected(case) => Ok("a person asked for it".to_owned()),
        None => match (discovery(case), &case.view.policy.discovery_boot) {
            (Ok(reason), Some(config)) => return discovered::config(case, config, &reason, why),
            (wanted, _) => wanted,
        },
    };
    let reason = match wanted {
        Ok(reason) => reason,
        Err(found) => return passed(why, RULE, found),
    };
    let Some(os) = installed(case) else {
        return passed(why, RULE, NONE_INSTALLED);
    };
    decided(
        why,
        RULE,
        format!("{reason} ({} {})", os.flavour, os.version),
    );
    Some((
        BootPlan::Management(management_boot(os, case)),
        Some(Claim::Discovery),
    ))
}

/// The management OS for a job.
///
/// # Errors
/// When it cannot be had, in words after "the management OS".
pub(super) fn boot_of(case: &Case<'_>) -> Result<KernelBoot, &'static str> {
    if case.request.after_management {
        return Err(NOT_LOADED);
    }
    let os = installed(case)
        .ok_or("is not installed for this processor: run `enforcer management-os build`")?;
    Ok(management_boot(os, case))
}

fn installed<'a>(case: &Case<'a>) -> Option<&'a ManagementOs> {
    let arch = case.request.arch.unwrap_or(Arch::X64);
    let mut known = case.view.policy.management.iter();
    known.find(|os| os.arch == arch)
}

fn inspected(case: &Case<'_>) -> bool {
    let asked = case.machine.and_then(|m| m.inspect);
    asked.is_some_and(|at| case.now.duration_since(at) < INSPECT_WITHIN)
}

/// Whether discovery wants to look at this machine; the words say why, or why not.
fn discovery(case: &Case<'_>) -> Result<String, String> {
    let standing = case.machine.map_or(Standing::Seen, |m| m.standing);
    match (case.view.policy.discovery, standing) {
        (Discovery::Off, _) => return Err("discovery is off".to_owned()),
        (Discovery::Registered, Standing::Seen) => {
            return Err(
                "discovery is for registered machines only (discovery = \"registered\")".to_owned(),
            );
        }
        (Discovery::Registered | Discovery::All, Standing::Registered | Standing::Accepted) => {
            let known = case.machine.and_then(|m| case.view.facts(&m.id));
            if let Some(facts) = known {
                let day = facts.at.strftime("%Y-%m-%d");
                return Err(format!("its hardware is known (read {day})"));
            }
        }
        (Discovery::All, Standing::Seen) => {}
    }
    match discovered_lately(case) {
        Some(found) => Err(found),
        None => Ok("discovery wants to know its hardware".to_owned()),
    }
}

/// Why the machine gets no discovery boot now, if so.
fn discovered_lately(case: &Case<'_>) -> Option<String> {
    let machine = case.machine.filter(|m| m.standing != Standing::Accepted)?;
    let last = machine.discovery.as_ref()?;
    let retry = case.request.session.as_ref() == Some(&last.session);
    let rested = case.now.duration_since(last.at) >= DISCOVERY_EVERY;
    (!retry && !rested).then(|| "it had its discovery boot of the day".to_owned())
}

fn management_boot(os: &ManagementOs, case: &Case<'_>) -> KernelBoot {
    let file = |name: &str| FileRef {
        name: name.to_owned(),
        path: format!("{}/{name}", os.path),
    };
    let policy = &case.view.policy;
    let idle = policy
        .idle_wait_s
        .map_or("forever".to_owned(), |s| s.to_string());
    let mut cmdline = format!(
        "{} BOOTIF=01-{} enforcer.url={} enforcer.tools={}/tools.img enforcer.idle={idle}",
        policy.management_cmdline,
        case.request.mac.hyphens(),
        case.request.base,
        os.path
    );
    if let Some(mesh) = &policy.mesh {
        cmdline.push_str(&mesh_words(mesh, case));
    }
    KernelBoot {
        loaded: None,
        kernel: file("vmlinuz"),
        initrds: vec![file("initrd.img")],
        cmdline: cmdline.trim().to_owned(),
    }
}

/// What the agent needs to find and to know its controller. The boot's secret comes only into a script that is served.
fn mesh_words(mesh: &MeshPolicy, case: &Case<'_>) -> String {
    let name = match case.machine {
        Some(machine) => machine.name.clone(),
        None => MachineName::from_mac(case.request.mac),
    };
    let controller = match case.request.controller {
        Some(reached) => reached.to_string(),
        None => format!("{}:{}", host(&case.request.base), mesh.port),
    };
    let mut words = format!(
        " enforcer.controller={controller} enforcer.site={} enforcer.ca={} enforcer.machine={name}",
        mesh.site, mesh.ca_sha256
    );
    // The machine chose it: only what cannot be mistaken for another word is repeated.
    let plain = |s: &&String| s.len() <= 64 && s.bytes().all(|b| b.is_ascii_alphanumeric());
    if let Some(session) = case.request.session.as_ref().filter(plain) {
        words.push_str(&format!(" enforcer.session={session}"));
    }
    words
}

/// The host of `http://host:port`, an IPv6 address in its brackets.
fn host(base: &str) -> &str {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn the_host_of_a_base() {
        for (base, expected) in [
            ("http://10.0.0.1:4880", "10.0.0.1"),
            ("http://10.0.0.1", "10.0.0.1"),
            ("http://[fd00::1]:4880", "[fd00::1]"),
            ("http://[fd00::1]", "[fd00::1]"),
            ("http://pi.lan:80/x", "pi.lan"),
            ("", ""),
        ] {
            assert_eq!(host(base), expected, "{base}");
        }
    }
}
