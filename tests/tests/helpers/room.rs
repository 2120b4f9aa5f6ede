//! A controller on one wire, a router, and a second wire on which only agents are: boot helpers beside somebody's DHCP server. A station
//! there asks in the name of machines.

use std::{
    fs,
    net::Ipv4Addr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use enforcer_tests::{
    lab::{
        AgentPlan, Asks, Namespace, Offer, Segment, Service, Space, Station, join_token,
        machine_mac, peers::ForeignDhcp, wait_until,
    },
    site::{PATIENCE, Site},
};
use mesh_proto::message::delegation::{Delegated, Delegation};
use serde_json::Value;

/// All offers to a DISCOVER come within this: a helper gives its controller a second, and without it listens for 0.8 s at most here.
pub(crate) const WINDOW: Duration = Duration::from_millis(1500);
/// A PXE ROM's pause between two DISCOVERs.
pub(crate) const ROM_PAUSE: Duration = Duration::from_secs(4);
/// How often a helper is told to look for what is delegated to it.
const TELL_AGAIN: Duration = Duration::from_millis(500);
/// The names of helpers and of their cables.
pub(crate) const NAMES: [&str; 2] = ["ha", "hb"];

/// See the module.
pub(crate) struct Room<'a> {
    pub(crate) space: &'a Space,
    pub(crate) far: Segment,
    pub(crate) site: Site,
    pub(crate) helpers: Vec<Helper>,
    pub(crate) station: Station,
    foreign: Ipv4Addr,
    _dhcp: ForeignDhcp,
}

/// An agent on the far wire.
pub(crate) struct Helper {
    pub(crate) plan: AgentPlan,
    service: Option<Service>,
}

/// What a machine gets that boots.
#[derive(Debug)]
pub(crate) struct Boot {
    /// Its script.
    pub(crate) script: String,
    /// The files of its config as its script names them, with their status.
    pub(crate) files: Vec<(u16, Vec<u8>)>,
}

impl<'a> Room<'a> {
    /// The wires with so many agents that have no role yet, and a controller that is there already.
    pub(crate) fn open(space: &'a Space, site: Site, helpers: usize) -> Result<Self> {
        let far = space.far_segment()?;
        let dhcp = ForeignDhcp::behind_router(&far)?;
        let [a, b, c, _] = far.address().octets();
        let [.., foreign] = Space::FOREIGN.octets();
        let address = |last: u8| Ipv4Addr::new(a, b, c, last);
        let mut hosts: Vec<(Arc<Namespace>, Ipv4Addr)> = Vec::new();
        for (name, last) in NAMES.into_iter().zip(11..).take(helpers) {
            hosts.push((far.routed_host(name, address(last))?, address(last)));
        }
        let host = far.routed_host("station", address(60))?;
        let station = Station::new(Arc::clone(&host), Arc::clone(space.folder()));
        hosts.push((host, address(60)));
        far.acquaint(&hosts)?;
        hosts.truncate(helpers);
        let mut room = Self {
            space,
            far,
            site,
            helpers: Vec::new(),
            station,
            foreign: address(foreign),
            _dhcp: dhcp,
        };
        for (number, (host, address)) in (1..).zip(hosts) {
            let plan = AgentPlan::new(host, address, space.folder().path(), number)?;
            plan.join(Space::CONTROLLER, &join_token(&room.site.controller)?)?;
            let service = Some(plan.start()?);
            room.helpers.push(Helper { plan, service });
        }
        for helper in &room.helpers {
            room.site.wait_alive(&helper.plan.board.mac())?;
        }
        Ok(room)
    }

    /// Gives all agents the role, and waits until they serve.
    pub(crate) fn give_roles(&mut self) -> Result<()> {
        for helper in &self.helpers {
            self.tell(helper)?;
        }
        self.wait_serving()
    }

    /// Waits until the controller knows that all agents serve.
    pub(crate) fn wait_serving(&self) -> Result<()> {
        for helper in &self.helpers {
            let mac = helper.plan.board.mac();
            wait_until(&format!("{mac} to serve"), PATIENCE, || {
                let shown = self.site.machine(&mac)?;
                Ok((shown["helper"]["state"] == "serving").then_some(()))
            })?;
        }
        Ok(())
    }

    /// Machines of ours on the far wire: their cards.
    pub(crate) fn register<const N: usize>(&self) -> Result<[String; N]> {
        let mut number = 0;
        let macs = [(); N].map(|()| {
            number += 1;
            machine_mac(number)
        });
        for (mac, number) in macs.iter().zip(1..) {
            let name = format!("m{number}");
            self.site
                .enforcer(&["machines", "register", mac, "--name", &name])?;
        }
        Ok(macs)
    }

    /// A boot config of one file, closed by its being fetched. Its SHA-256.
    pub(crate) fn config(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let file = self.space.folder().file(format!("{name}.kernel"));
        fs::write(&file, bytes)?;
        let file = file.display().to_string();
        let kernel = format!("linux={file}");
        let set = ["boot-configs", "set", name, "--kernel", &kernel];
        self.site
            .enforcer(&[&set[..], &["--evidence", "fetched"]].concat())?;
        let sum = self.space.run("sha256sum", &[&file])?;
        let sum = sum.split_whitespace().next();
        Ok(sum.context("a checksum")?.to_owned())
    }

    /// As machine `mac` asks once: every offer of something to boot, beside the address of who gives addresses here.
    pub(crate) fn boot_offers(&self, mac: &str, asks: Asks) -> Result<Vec<Offer>> {
        let offers = self.station.offers(mac, asks, WINDOW)?;
        let (boot, other): (Vec<_>, Vec<_>) = offers.into_iter().partition(|offer| offer.boots);
        let addresses: Vec<Ipv4Addr> = other.iter().map(|offer| offer.server).collect();
        ensure!(addresses == [self.foreign], "addresses by {addresses:?}");
        Ok(boot)
    }

    /// The same, for who must get exactly one, and from a helper that has the files.
    pub(crate) fn one_offer(&self, mac: &str, asks: Asks) -> Result<Offer> {
        let offers = self.boot_offers(mac, asks)?;
        let [offer] = &offers[..] else {
            bail!(
                "{mac} ({asks:?}) got {} offers: {offers:?}\n{}",
                offers.len(),
                self.site
                    .enforcer(&["events"])
                    .unwrap_or_else(|_| "the controller is away".to_owned())
            );
        };
        self.by(offer)?;
        ensure!(offer.next == offer.server, "files elsewhere: {offer:?}");
        Ok(offer.clone())
    }

    /// Which helper made this offer.
    pub(crate) fn by(&self, offer: &Offer) -> Result<usize> {
        let mut helpers = self.helpers.iter();
        let found = helpers.position(|helper| helper.plan.address == offer.server);
        found.with_context(|| format!("no helper's: {offer:?}"))
    }

    /// As machine `mac` goes on with that helper: its script, and the files of its config.
    pub(crate) fn boots(&self, helper: usize, mac: &str, session: &str) -> Result<Boot> {
        let base = self.helpers[helper].url("");
        let card = mac.replace(':', "-");
        let ask = format!("{base}/boot/{card}?session={session}&arch=x86_64&platform=pcbios");
        let script = self.station.text(&ask)?;
        let prefix = format!("{base}/boot/n/");
        let urls = script.split_whitespace();
        let urls = urls.filter(|word| word.starts_with(&prefix));
        let files = urls.map(|url| self.station.fetch(&url.replace("${session}", session)));
        let files = files.collect::<Result<_>>()?;
        Ok(Boot { script, files })
    }

    /// Waits until what is delegated to a helper is as `enough` says; it is told again and again to look.
    pub(crate) fn wait_delegated(
        &self,
        helper: usize,
        what: &str,
        enough: impl Fn(&Delegation) -> bool,
    ) -> Result<()> {
        let (helper, mut told) = (&self.helpers[helper], None::<Instant>);
        let what = format!("{what} at {}", helper.plan.address);
        wait_until(&what, PATIENCE, || {
            if told.is_none_or(|at| at.elapsed() >= TELL_AGAIN) {
                self.tell(helper)?;
                told = Some(Instant::now());
            }
            let held = helper.delegation()?;
            Ok(held.filter(&enough).map(drop))
        })
    }

    fn tell(&self, helper: &Helper) -> Result<()> {
        let path = format!("/api/v1/machines/{}/helper", helper.plan.board.mac());
        let (status, said) = self.site.controller.api("POST", &path, "{\"on\": true}")?;
        ensure!(status == 200, "{path}: {status}: {said}");
        Ok(())
    }
}

impl Helper {
    /// `http://HOST:4880PATH`, as machines see it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}:4880{path}", self.plan.address)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut service) = self.service.take() {
            service.kill9();
        }
        self.plan.wait_gone()
    }

    /// Starts its agent, as if its computer had run for so much longer.
    pub(crate) fn start_later(&mut self, by: Duration) -> Result<()> {
        self.service = Some(self.plan.start_later(by)?);
        Ok(())
    }

    /// Starts its agent again, and waits until it serves.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.service = Some(self.plan.start()?);
        self.wait_says("boot helper: serves DHCP-proxy")
    }

    /// Waits until this run of its agent has said so.
    pub(crate) fn wait_says(&mut self, text: &str) -> Result<()> {
        let service = self.service.as_mut();
        service
            .context("this agent does not run")?
            .wait_log(text, PATIENCE)
    }

    /// Whether it keeps this file, whole.
    pub(crate) fn keeps(&self, sha256: &str) -> bool {
        self.folder().join("files").join(sha256).is_file()
    }

    /// What its controller has delegated to it.
    pub(crate) fn delegation(&self) -> Result<Option<Delegation>> {
        let Ok(bytes) = fs::read(self.folder().join("delegation.json")) else {
            return Ok(None);
        };
        let kept: Value = serde_json::from_slice(&bytes)?;
        let text = kept["signed"]["text"].as_str().context("a signed text")?;
        Ok(Some(serde_json::from_str(text)?))
    }

    fn folder(&self) -> PathBuf {
        self.plan.folder.join("state/helper")
    }
}

/// What a delegation says of a machine.
pub(crate) fn delegated<'d>(all: &'d Delegation, mac: &str) -> Option<&'d Delegated> {
    let mut machines = all.machines.iter();
    machines.find(|machine| machine.macs.iter().any(|known| known == mac))
}

impl Boot {
    /// It starts the machine's own disk, and nothing else.
    pub(crate) fn is_disk(&self) -> Result<()> {
        let disk = self.script.contains("boots its own disk") && self.files.is_empty();
        ensure!(disk, "not its disk: {}", self.script);
        Ok(())
    }

    /// It starts a config with this kernel, which came whole.
    pub(crate) fn is_config(&self, kernel: &[u8]) -> Result<()> {
        let statuses: Vec<u16> = self.files.iter().map(|(status, _)| *status).collect();
        // The second one says that the first one is there; by then TCP may have said so.
        let came = matches!(statuses[..], [200, 200 | 410]);
        ensure!(came, "{statuses:?}: {}", self.script);
        ensure!(self.files[0].1 == kernel, "other bytes: {}", self.script);
        Ok(())
    }
}
