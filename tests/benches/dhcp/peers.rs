//! The other DHCP servers, in the controller's place on the wire.

use anyhow::Result;
use enforcer_tests::{
    bench::Bench,
    lab::{Service, need},
};
use serde_json::json;
use std::{fs, time::Duration};

const START_LIMIT: Duration = Duration::from_secs(10);

/// A running server; ends when dropped.
pub(crate) struct Peer(#[expect(dead_code, reason = "held so that it runs")] Service);

impl Peer {
    /// dnsmasq beside somebody else's DHCP server.
    pub(crate) fn dnsmasq_proxy(bench: &Bench) -> Result<Self> {
        Self::dnsmasq(
            bench,
            "dhcp-range=10.77.0.0,proxy\npxe-service=x86PC,\"boot\",undionly\n",
        )
    }

    /// dnsmasq that lends addresses; it writes its whole file after each change.
    pub(crate) fn dnsmasq_server(bench: &Bench) -> Result<Self> {
        let file = bench.space.folder().file("bench.leases");
        let _first_time = fs::remove_file(&file);
        let range = "dhcp-range=10.77.16.0,10.77.255.250,255.255.0.0,12h\ndhcp-lease-max=100000\nno-ping\ndhcp-authoritative\n";
        Self::dnsmasq(
            bench,
            &format!("{range}dhcp-leasefile={}\n", file.display()),
        )
    }

    fn dnsmasq(bench: &Bench, options: &str) -> Result<Self> {
        need::programs(&["dnsmasq"])?;
        let config = bench.space.folder().file("bench-dnsmasq.conf");
        fs::write(
            &config,
            format!(
                "port=0\nkeep-in-foreground\nlog-facility=-\nuser=root\ninterface=br0\nbind-interfaces\nquiet-dhcp\n{options}"
            ),
        )?;
        let mut command = bench.space.command("dnsmasq");
        command.arg(format!("--conf-file={}", config.display()));
        Self::run(bench, "bench-dnsmasq", command, "started, version")
    }

    /// Kea with its file of leases, which it appends to without fsync.
    pub(crate) fn kea(bench: &Bench) -> Result<Self> {
        need::programs(&["kea-dhcp4"])?;
        let folder = bench.space.folder();
        let leases = folder.file("kea.leases");
        for old in ["kea.leases", "kea.leases.2", "kea.leases.completed"] {
            let _first_time = fs::remove_file(folder.file(old));
        }
        let config = folder.file("kea.json");
        fs::write(&config, kea_config(&leases.display().to_string()))?;
        let mut command = bench.space.command("kea-dhcp4");
        command.arg("-c").arg(&config);
        command
            .env("KEA_PIDFILE_DIR", folder.path())
            .env("KEA_LOCKFILE_DIR", folder.path());
        Self::run(bench, "bench-kea", command, "DHCP4_STARTED")
    }

    fn run(bench: &Bench, name: &str, command: std::process::Command, ready: &str) -> Result<Self> {
        let mut service = bench.within(|| bench.space.service(name, command))?;
        service.wait_log(ready, START_LIMIT)?;
        Ok(Self(service))
    }
}

fn kea_config(leases: &str) -> String {
    json!({ "Dhcp4": {
        "interfaces-config": { "interfaces": ["br0"], "dhcp-socket-type": "raw" },
        "lease-database": { "type": "memfile", "persist": true, "name": leases, "lfc-interval": 0 },
        "valid-lifetime": 43200,
        "subnet4": [{ "id": 1, "subnet": "10.77.0.0/16", "interface": "br0", "pools": [{ "pool": "10.77.16.0 - 10.77.255.250" }] }],
        "loggers": [
            { "name": "kea-dhcp4", "output_options": [{ "output": "stdout" }], "severity": "WARN" },
            { "name": "kea-dhcp4.dhcp4", "output_options": [{ "output": "stdout" }], "severity": "INFO" }
        ]
    } })
    .to_string()
}
