//! The config file, key by key; then what only holds between keys.

use std::net::Ipv4Addr;

use ipxe::check_text;
use toml::{Table, Value};

use super::{ApiPort, ApiTls, Config, DhcpRole, Mistake, section::Section, values};
use crate::state::{lease::Subnet, policy::Discovery};

/// Shortest lease that does not drown a server in renewals, seconds.
const MIN_LEASE_S: u32 = 60;

/// Reads the whole file; what is wrong keeps its default and becomes a mistake.
pub(super) fn config(table: Table) -> (Config, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let mut c = Config::default();
    let mut top = Section::new("", table, &mut mistakes);
    set(&mut c.state, top.take("state"));
    set(&mut c.api_socket, top.take("api_socket"));
    set(&mut c.interfaces, top.take("interfaces"));
    set(&mut c.listen, top.take_text("listen", values::address));
    set(&mut c.http_port, top.take("http_port"));
    set(&mut c.site, top.take_text("site", values::site));
    set(&mut c.accept, top.take_text("accept", values::accept));
    set(&mut c.mesh, top.take("mesh"));
    set(&mut c.mesh_port, top.take("mesh_port"));
    set(&mut c.gossip_port, top.take("gossip_port"));
    set(&mut c.tftp, top.take("tftp"));
    let discovery: Option<Value> = top.take("discovery");
    set(
        &mut c.local_boot,
        top.take_text("local_boot", values::local_boot),
    );
    let (dhcp, images, ipxe, os, mail) = (
        top.take_table("dhcp"),
        top.take_table("images"),
        top.take_table("ipxe"),
        top.take_table("management_os"),
        top.take_table("mail"),
    );
    let federation = top.take_table("federation");
    let api = top.take_table("api");
    let audit = top.take_table("audit");
    let http = top.take_table("http");
    let oidc = top.take_table("oidc");
    let providers: Vec<Table> = top.take("providers").unwrap_or_default();
    top.finish();
    read_discovery(&mut c, discovery, &mut mistakes);
    read_dhcp(&mut c, dhcp, &mut mistakes);
    let mut images = Section::new("images", images, &mut mistakes);
    let quota = images.take_text("quota", values::quota);
    set(&mut c.image_quota_bytes, quota);
    images.finish();
    let mut federation = Section::new("federation", federation, &mut mistakes);
    let cache = federation.take_text("cache", values::quota);
    set(&mut c.peers_cache_bytes, cache);
    federation.finish();
    let mut http = Section::new("http", http, &mut mistakes);
    set(&mut c.web, http.take("web"));
    set(
        &mut c.web_origins,
        http.take_list("web_origins", values::origin),
    );
    http.finish();
    let mut ipxe = Section::new("ipxe", ipxe, &mut mistakes);
    set(&mut c.rechain, ipxe.take_text("rechain", values::rechain));
    ipxe.finish();
    let mut os = Section::new("management_os", os, &mut mistakes);
    set(&mut c.management_cmdline, os.take("cmdline"));
    set(&mut c.idle_wait_s, os.take_text("idle_wait", values::wait));
    set(&mut c.flavour, os.take("flavour"));
    os.finish();
    c.audit = super::audit::read(audit, &mut mistakes);
    c.api = super::api::read(api, &mut mistakes);
    c.mail = super::mail::read(mail, &mut mistakes);
    c.oidc = super::oidc::read(oidc, c.api.is_some(), &mut mistakes);
    c.providers = super::providers::read(providers, &mut mistakes);
    (c, mistakes)
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// A word, or a table of the word and the boot config that discovery starts.
fn read_discovery(c: &mut Config, value: Option<Value>, mistakes: &mut Vec<Mistake>) {
    let (path, key, table) = match value {
        None => return,
        Some(Value::Table(table)) => ("discovery", "machines", table),
        Some(word) => (
            "",
            "discovery",
            Table::from_iter([("discovery".to_owned(), word)]),
        ),
    };
    let mut section = Section::new(path, table, mistakes);
    set(&mut c.discovery, section.take_text(key, values::discovery));
    if !path.is_empty() {
        c.discovery_boot = section.take_text("boot", |t| t.parse().map_err(|e| format!("{e}")));
    }
    section.finish();
}

fn read_dhcp(c: &mut Config, table: Table, mistakes: &mut Vec<Mistake>) {
    let mut dhcp = Section::new("dhcp", table, mistakes);
    set(&mut c.dhcp, dhcp.take_text("mode", values::dhcp));
    set(
        &mut c.router_advertisements,
        dhcp.take("router_advertisements"),
    );
    let subnets: Vec<Table> = dhcp.take("subnet").unwrap_or_default();
    dhcp.finish();
    for (at, table) in subnets.into_iter().enumerate() {
        let mut section = Section::new(&format!("dhcp.subnet[{at}]"), table, mistakes);
        if let Some(subnet) = read_subnet(&mut section) {
            c.subnets.push(subnet);
        }
        section.finish();
    }
}

fn read_subnet(section: &mut Section<'_>) -> Option<Subnet> {
    let network = section.take_text("network", values::network);
    let pool = section.take_text("pool", values::pool);
    let routers = section
        .take_list("routers", values::address)
        .unwrap_or_default();
    let dns = section
        .take_list("dns", values::address)
        .unwrap_or_default();
    let domain = section.take("domain");
    let lease_s = section
        .take_text("lease", values::seconds)
        .unwrap_or(12 * 3600);
    let (Some((network, prefix)), Some(pool)) = (network, pool) else {
        section.mistake(
            "network",
            "a subnet needs both `network` and `pool`".to_owned(),
        );
        return None;
    };
    Some(Subnet {
        network,
        prefix,
        pool,
        routers,
        dns,
        domain,
        lease_s,
    })
}

/// What only holds between keys.
pub(super) fn check(c: &Config, mistakes: &mut Vec<Mistake>) {
    let mut wrong = |at: &str, problem: String| {
        mistakes.push(Mistake {
            at: at.to_owned(),
            problem,
        });
    };
    if c.dhcp == DhcpRole::Server && c.subnets.is_empty() {
        wrong(
            "dhcp.subnet",
            "DHCP server mode needs at least one [[dhcp.subnet]] with `network` and `pool`"
                .to_owned(),
        );
    }
    if c.dhcp != DhcpRole::Server && !c.subnets.is_empty() {
        wrong(
            "dhcp.subnet",
            "subnets are only served with dhcp.mode = \"server\"".to_owned(),
        );
    }
    if c.discovery == Discovery::Off && c.discovery_boot.is_some() {
        wrong(
            "discovery.boot",
            "nothing is discovered while discovery is off; set machines = \"registered\" or \"all\"".to_owned(),
        );
    }
    if c.http_port == 0 {
        wrong(
            "http_port",
            "boot HTTP needs a port that machines can be told; 4880 is the default".to_owned(),
        );
    }
    if c.web && !cfg!(feature = "web") {
        wrong(
            "http.web",
            "this program was built without the web app; take one that was built with `--features web`, or set it to false"
                .to_owned(),
        );
    }
    let by_site = |port: &ApiPort| matches!(port.tls, ApiTls::Site(_));
    if !c.mesh && c.api.as_ref().is_some_and(by_site) {
        wrong(
            "api",
            "the site's CA is the mesh's; set mesh = true, name api.cert_file and api.key_file, or set api.tls = \"off\""
                .to_owned(),
        );
    }
    if c.mesh_port == c.gossip_port && c.mesh_port != 0 {
        wrong(
            "gossip_port",
            "links and gossip need a UDP port each; 4848 and 4849 are the defaults".to_owned(),
        );
    }
    if !matches!(c.flavour.as_str(), "generic" | "virtio") {
        wrong(
            "management_os.flavour",
            format!("'{}' is none of: generic, virtio", c.flavour),
        );
    }
    if let Err(e) = check_text(&c.management_cmdline) {
        wrong("management_os.cmdline", format!("it {e}"));
    }
    for (at, subnet) in c.subnets.iter().enumerate() {
        for problem in subnet_problems(subnet, &c.subnets[..at]) {
            wrong(&format!("dhcp.subnet[{at}]"), problem);
        }
    }
}

fn subnet_problems(subnet: &Subnet, earlier: &[Subnet]) -> Vec<String> {
    let mask = u32::MAX << (32 - u32::from(subnet.prefix));
    let inside = |ip: Ipv4Addr| (u32::from(ip) & mask) == (u32::from(subnet.network) & mask);
    let mut problems = Vec::new();
    if !inside(subnet.pool.0) || !inside(subnet.pool.1) {
        problems.push(format!(
            "its pool is outside {}/{}",
            subnet.network, subnet.prefix
        ));
    }
    if let Some(router) = subnet.routers.iter().find(|r| !inside(**r)) {
        problems.push(format!(
            "router {router} is outside {}/{}",
            subnet.network, subnet.prefix
        ));
    }
    if subnet.lease_s < MIN_LEASE_S {
        problems.push(format!(
            "a lease of {} s is too short; {MIN_LEASE_S} s is the least",
            subnet.lease_s
        ));
    }
    let overlaps = |other: &Subnet| {
        let wide = mask & (u32::MAX << (32 - u32::from(other.prefix)));
        u32::from(other.network) & wide == u32::from(subnet.network) & wide
    };
    if let Some(other) = earlier.iter().find(|o| overlaps(o)) {
        problems.push(format!("it overlaps {}/{}", other.network, other.prefix));
    }
    problems
}
