//! Two sites, A and B: a config that lives only at B boots a machine at A, as a story of transitions. What the link between
//! them carries is carried by hand, so that each message can be lost, doubled or forged.

mod lossy;
mod shown;
mod stories;
mod trust;

use std::collections::BTreeMap;

use ipxe::BootPlan;
use mesh_proto::message::peer::{BASE, Evidence, Grant, GrantedAnswer, Outcome};

use super::*;
use crate::state::{
    activation::{Activation, Kind, MAX_BOOTS, Nonce, Stage},
    config::{Asset, BootConfig, Evidence as ClosedOn, Program},
    peer::{NamedMacs, Outgoing, PeerAnswer, Peers, SiteName, Trail},
};

const FILES: [&str; 2] = ["vmlinuz", "initrd.img"];

fn answer(name: &str, text: String) -> GrantedAnswer {
    GrantedAnswer {
        name: name.to_owned(),
        text,
    }
}

fn site(name: &str) -> SiteName {
    name.parse().unwrap()
}

fn card_of(name: &str) -> SiteCard {
    SiteCard {
        site: site(name),
        ca: format!("CA of {name}"),
        ca_sha256: Digest::of(name.as_bytes()),
        addresses: vec!["192.0.2.9:4848".parse().unwrap()],
    }
}

fn world_of(name: &str) -> World {
    let mut world = World::new();
    world.policy(|p| p.mesh.as_mut().unwrap().site = name.to_owned());
    world
}

impl World {
    fn invites(&mut self, n: u32) -> TokenId {
        let id = TokenId::from_random(n);
        let invite = Invite {
            id: id.clone(),
            secret_sha256: Digest::of(b"secret"),
            by: "ann".to_owned(),
        };
        self.does(&invite).unwrap();
        id
    }

    fn admits(&mut self, id: &TokenId, secret: &str, name: &str) -> Result<(), PeerError> {
        let admit = AdmitPeer {
            invitation: id.clone(),
            shown: Digest::of(secret.as_bytes()),
            card: card_of(name),
        };
        self.does(&admit).map(drop)
    }

    fn joins_site(&mut self, name: &str) {
        let join = JoinPeer {
            card: card_of(name),
            by: "ann".to_owned(),
        };
        self.does(&join).unwrap();
    }

    fn allows(&mut self, name: &str, ask: &[&str], boot: &[&str], unknown: bool) {
        let selectors = |texts: &[&str]| Some(texts.iter().map(|t| t.parse().unwrap()).collect());
        let allow = AllowPeer {
            site: site(name),
            may_ask: selectors(ask),
            may_boot: selectors(boot),
            may_boot_unknown: Some(unknown),
            may_see: None,
            gives_images: None,
            by: "ann".to_owned(),
        };
        self.does(&allow).unwrap();
    }

    fn shows(&mut self, name: &str, see: &[&str], images: bool) {
        let allow = AllowPeer {
            site: site(name),
            may_ask: None,
            may_boot: None,
            may_boot_unknown: None,
            may_see: Some(see.iter().map(|t| t.parse().unwrap()).collect()),
            gives_images: Some(images),
            by: "ann".to_owned(),
        };
        self.does(&allow).unwrap();
    }

    fn labelled(&mut self, n: u8, name: &str, value: &str) {
        let mut machine = self.machine(n);
        machine
            .labels
            .insert(name.parse().unwrap(), value.parse().unwrap());
        self.view.absorb(&Record::Machine(machine.into()).into());
    }

    fn arms(&mut self, n: u8, change: impl FnOnce(&mut BootConfig), kind: Kind) -> Activation {
        let asset = |name: &str| Asset::kept(name, &"ab".repeat(32), 4);
        let program = Program::Kernel {
            kernel: asset(FILES[0]),
            initrds: vec![asset(FILES[1])],
            cmdline: "auto url={{ answer('preseed') }} host={{ name }}".to_owned(),
        };
        let answers = BTreeMap::from([("preseed".to_owned(), "tell {{ done }}".to_owned())]);
        let mut config = BootConfig::new(
            "live".parse().unwrap(),
            program,
            answers,
            ClosedOn::Callback,
        );
        change(&mut config);
        self.does(&SetConfig(config)).unwrap();
        let activate = Activate {
            machine: MachineRef(format!("web{n}")),
            config: "live".parse().unwrap(),
            kind,
            until: None,
            nonce: Nonce::from_random(self.fresh().into()),
        };
        self.does(&activate).unwrap()
    }

    fn question(&self, mac: MacAddr, session: &str, base: &str) -> BootRequest {
        BootRequest {
            mac,
            arch: None,
            session: Some(session.to_owned()),
            after_management: true,
            base: base.to_owned(),
            known_address: None,
            controller: None,
            peers: Peers::Ask(Trail::default()),
        }
    }

    fn plans(&self, mac: MacAddr) -> Decision {
        let request = self.question(mac, "p", "http://a:1");
        crate::state::boot::decide(&request, &self.view, self.now)
    }

    /// Grants to the site what it claims for machine `n`.
    fn grants(&mut self, to: &str, n: u8, session: &str) -> Result<Grant, String> {
        let grant = GrantBoot {
            site: site(to),
            request: self.question(card(n), session, BASE),
        };
        self.does(&grant).map(|g| *g)
    }

    fn adopts(&mut self, from: &str, n: u8, grant: &Grant) -> Result<Activation, String> {
        let take = TakeGrant {
            site: site(from),
            mac: card(n),
            grant: grant.clone(),
            fresh_id: MachineId::from_random(self.fresh() + 7000),
        };
        self.does(&take)
    }

    /// What `to` is told of us, taken in there.
    fn names_to(&self, own: &str, to: &mut World, name: &str) {
        let peer = self.view.peer(&site(name)).unwrap();
        let macs = macs_for(&self.view, peer, self.now);
        let named = NamedMacs {
            site: site(own),
            macs,
        };
        assert!(to.does(&TakeMacs(named)));
    }

    /// A boot with this script: the plan that is served, peers having been asked.
    fn serves(&mut self, n: u8, session: &str) -> BootPlan {
        let mut request = self.question(card(n), session, "http://10.0.0.1:4880");
        request.peers = Peers::Asked(Vec::new());
        let claim = ClaimBoot {
            request,
            fresh_id: MachineId::from_random(self.fresh() + 5000),
            fresh_secret: BootSecret::fresh(1),
            fresh_nonce: Nonce::from_random(self.fresh().into()),
        };
        self.does(&claim).plan
    }

    fn fetches(&mut self, nonce: &Nonce, session: &str) -> FetchAnswer {
        let begin = BeginFetch {
            nonce: nonce.clone(),
            name: FILES[0].to_owned(),
            session: Some(session.to_owned()),
            asker: ip(1),
            is_its_address: false,
        };
        self.does(&begin)
    }

    fn calls_back(&mut self, nonce: &Nonce, failure: Option<&str>) {
        let nonce = nonce.clone();
        let failure = failure.map(str::to_owned);
        self.does(&Callback { nonce, failure });
    }

    fn activation(&self, nonce: &Nonce) -> &Activation {
        self.view.activation_by_nonce(nonce).unwrap()
    }

    fn to_tell(&self) -> Vec<Outgoing> {
        self.view.outgoing().map(|o| Outgoing::clone(o)).collect()
    }

    fn hears(&mut self, from: &str, told: &Outgoing) -> bool {
        let evidence = Evidence {
            nonce: told.nonce.to_string(),
            outcome: told.outcome,
            reason: told.reason.clone(),
        };
        self.does(&TakeEvidence {
            site: site(from),
            evidence,
        })
    }
}

/// A knows B and B knows A; machine 1 is B's, in the pool that A may ask about, and unknown at A, where B may boot such.
fn sites() -> (World, World) {
    let (mut a, mut b) = (world_of("site-a"), world_of("site-b"));
    // Random bits of two sites are not the same.
    a.fresh = 1000;
    let id = b.invites(1);
    b.admits(&id, "secret", "site-a").unwrap();
    a.joins_site("site-b");
    b.registered(1);
    b.labelled(1, "pool", "lab");
    b.allows("site-a", &["pool=lab"], &[], false);
    a.allows("site-b", &[], &[], true);
    (a, b)
}

fn why(decision: &Decision) -> String {
    let peers = decision.why.iter().find(|w| w.rule == "peers");
    peers.map_or_else(String::new, |w| w.found.clone())
}
