//! The reference chain that we compare with: dnsmasq as the one DHCP and TFTP server, and nginx with static files.

use super::{START_LIMIT, dhcp};
use crate::lab::{Segment, Service, Space, need, wait_until};
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where nginx listens.
const HTTP_PORT: u16 = 8080;
/// Debian's iPXE binaries.
const FIRMWARE: &str = "/usr/lib/ipxe";

/// What the reference chain serves.
#[derive(Debug, Clone, Default)]
pub struct ReferencePlan {
    script: String,
    files: Vec<(String, PathBuf)>,
    silent_about_ipv6: bool,
}

impl ReferencePlan {
    /// `script` is what iPXE gets as `boot.ipxe`; it may use [`Reference::BASE`] for its URLs.
    pub fn new(script: &str) -> Self {
        Self {
            script: script.to_owned(),
            ..Self::default()
        }
    }

    /// The usual script that boots a kernel and an initrd (add both with [`Self::file`] as `vmlinuz` and `initrd.img`).
    pub fn kernel(cmdline: &str) -> Self {
        let base = Reference::BASE;
        Self::new(&format!(
            "#!ipxe\necho REFERENCE-START ${{platform}}\nkernel {base}/vmlinuz initrd=initrd.img {cmdline} || exit 1\n\
             initrd --name initrd.img {base}/initrd.img || exit 1\nboot || exit 1\n"
        ))
    }

    /// One more file below the web root.
    pub fn file(mut self, name: &str, source: impl Into<PathBuf>) -> Self {
        self.files.push((name.to_owned(), source.into()));
        self
    }

    /// No router advertisement: iPXE of 2019 then waits 16 s for one. Default is to send it.
    pub fn silent_about_ipv6(mut self) -> Self {
        self.silent_about_ipv6 = true;
        self
    }

    /// Starts dnsmasq and nginx in the controller's place (10.77.0.1), so no controller may run there.
    pub fn start(self, space: &Space) -> Result<Reference> {
        need::programs(&["dnsmasq", "nginx"])?;
        need::file("/usr/lib/ipxe/ipxe.efi")?;
        let (tftp, web) = (
            space.folder().file("reference-tftp"),
            space.folder().file("reference-web"),
        );
        fs::create_dir_all(&tftp)?;
        fs::create_dir_all(&web)?;
        for name in ["undionly.kpxe", "ipxe.efi", "snponly.efi"] {
            fs::copy(Path::new(FIRMWARE).join(name), tftp.join(name)).context("copying iPXE")?;
            symlink(Path::new(FIRMWARE).join(name), web.join(name))?;
        }
        fs::write(web.join("boot.ipxe"), &self.script)?;
        for (name, source) in &self.files {
            symlink(
                fs::canonicalize(source).with_context(|| source.display().to_string())?,
                web.join(name),
            )?;
        }
        let nginx = Nginx::start(space.home(), HTTP_PORT, &web)?;
        let dnsmasq = dnsmasq(space, &tftp)?;
        let advertiser = if self.silent_about_ipv6 {
            None
        } else {
            Some(advertiser(space)?)
        };
        Ok(Reference {
            dnsmasq,
            nginx,
            _advertiser: advertiser,
        })
    }
}

/// The running reference chain.
#[derive(Debug)]
pub struct Reference {
    dnsmasq: Service,
    nginx: Nginx,
    _advertiser: Option<Service>,
}

impl Reference {
    /// The web root.
    pub const BASE: &str = "http://10.77.0.1:8080";

    /// dnsmasq's log: DHCP and TFTP.
    pub fn dhcp_log(&self) -> String {
        self.dnsmasq.log()
    }

    /// The web server.
    pub fn nginx(&self) -> &Nginx {
        &self.nginx
    }

    /// dnsmasq's process id.
    pub fn dnsmasq_pid(&self) -> u32 {
        self.dnsmasq.pid()
    }
}

fn dnsmasq(space: &Space, tftp: &Path) -> Result<Service> {
    let folder = space.folder();
    let config = folder.file("reference-dhcp.conf");
    let leases = folder.file("reference-dhcp.leases");
    fs::write(
        &config,
        format!(
            "interface=br0\n{}{}",
            dhcp::addresses(space.home(), &leases.display().to_string()),
            boot_options(tftp)
        ),
    )?;
    let mut command = space.command("dnsmasq");
    command.arg(format!("--conf-file={}", config.display()));
    let mut service = space.service("reference-dhcp", command)?;
    service.wait_log("started, version", START_LIMIT)?;
    Ok(service)
}

/// The boot half: first iPXE by architecture, then the script for whoever already is iPXE (user class, or encapsulated option 175).
/// 175.176 = 1 says that no proxyDHCP will answer, which saves the 2 to 3 s wait for one.
fn boot_options(tftp: &Path) -> String {
    let base = Reference::BASE;
    format!(
        "enable-tftp\ntftp-root={}\ndhcp-userclass=set:ipxe,iPXE\ndhcp-match=set:ipxe,175\ndhcp-match=set:bios,option:client-arch,0\n\
         dhcp-match=set:uefi,option:client-arch,7\ndhcp-match=set:uefi,option:client-arch,9\ndhcp-match=set:http,option:client-arch,16\n\
         dhcp-option=tag:http,option:vendor-class,HTTPClient\ndhcp-boot=tag:http,{base}/ipxe.efi\ndhcp-option=tag:ipxe,encap:175,176,1b\n\
         dhcp-boot=tag:ipxe,{base}/boot.ipxe\ndhcp-boot=tag:bios,tag:!ipxe,undionly.kpxe\ndhcp-boot=tag:uefi,tag:!ipxe,ipxe.efi\n",
        tftp.display()
    )
}

fn advertiser(space: &Space) -> Result<Service> {
    let leases = space.folder().file("reference-ra.leases");
    let mut command = space.command("dnsmasq");
    command.args([
        "--no-daemon",
        "--user=root",
        "--port=0",
        "--conf-file=/dev/null",
        "--interface=br0",
        "--enable-ra",
    ]);
    command.args([
        "--dhcp-range=fd77:77:0::,ra-only,64".to_owned(),
        format!("--dhcp-leasefile={}", leases.display()),
    ]);
    let mut service = space.service("reference-ra", command)?;
    service.wait_log("started, version", START_LIMIT)?;
    Ok(service)
}

/// nginx with one folder of static files, one process, its own configuration.
#[derive(Debug)]
pub struct Nginx {
    service: Service,
    access_log: PathBuf,
}

impl Nginx {
    /// Serves `root` on the segment's own address. One process without a master, so that it cannot outlive us.
    pub fn start(segment: &Segment, port: u16, root: &Path) -> Result<Self> {
        need::programs(&["nginx"])?;
        let home = segment.folder().file(format!("nginx-{port}"));
        fs::create_dir_all(&home)?;
        let access_log = home.join("access.log");
        fs::write(
            home.join("nginx.conf"),
            nginx_config(&home, &format!("{}:{port}", segment.address()), root),
        )?;
        let mut command = segment.namespace().command("nginx");
        command
            .arg("-e")
            .arg(home.join("error.log"))
            .arg("-p")
            .arg(&home)
            .arg("-c")
            .arg(home.join("nginx.conf"));
        let mut service = Service::start("nginx", command, &home.join("output.log"))?;
        // its pid file is written after the sockets are bound
        let pid = home.join("pid");
        wait_until("nginx to listen", START_LIMIT, || {
            service.ensure_running()?;
            Ok(pid.exists().then_some(()))
        })
        .with_context(|| fs::read_to_string(home.join("error.log")).unwrap_or_default())?;
        Ok(Self {
            service,
            access_log,
        })
    }

    /// One line a request: epoch seconds, method, path, status, bytes.
    pub fn access_log(&self) -> String {
        fs::read_to_string(&self.access_log).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.service.pid()
    }
}

fn nginx_config(home: &Path, listen: &str, root: &Path) -> String {
    let (home, root) = (home.display(), root.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {home}/tmp;\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\nuser root;\npid {home}/pid;\nerror_log {home}/error.log;\nevents {{ worker_connections 4096; }}\n\
         http {{\nsendfile on;\ntcp_nopush on;\ndefault_type application/octet-stream;\n{temporary}\
         log_format lab '$msec $request_method $uri $status $bytes_sent';\naccess_log {home}/access.log lab;\n\
         server {{ listen {listen} backlog=4096; root {root}; }}\n}}\n"
    )
}
