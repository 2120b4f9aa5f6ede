//! A site with a mesh, and what its people and machines do.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::site::Site;
use enforcer::{
    ca::Ca,
    images::{Images, Limits},
    mesh::{Bound, Mesh, MeshConfig},
    metrics::Metrics,
    state::{
        View,
        activation::{Activation, Kind, Nonce},
        config::{Asset, BootConfig, Evidence, Program},
        machine::Machine,
        ops::{Activate, AllowPeer, MachineRef, SetConfig},
        peer::{InvitationText, SiteName},
        policy::{MeshPolicy, Policy},
        trust::Digest,
    },
};
use ipxe::MacAddr;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 1]);
/// Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);
/// Sizes of the kernel and the initrd, bytes: several pieces each.
pub(crate) const SIZES: [(&str, usize); 2] = [("vmlinuz", 1_000_000), ("initrd.img", 300_001)];

/// Bytes of other sites' files that a town keeps: those of one config, and not of two.
pub(crate) const CACHE: u64 = 2_000_000;

pub(crate) struct Town {
    pub(crate) site: Site,
    pub(crate) mesh: Mesh,
    pub(crate) images: Images,
    pub(crate) name: SiteName,
    pub(crate) links: SocketAddr,
    pub(crate) metrics: Arc<Metrics>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

pub(crate) fn content(name: &str, size: usize) -> String {
    name.chars().cycle().take(size).collect()
}

impl Town {
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, Limits::default()).await
    }

    /// One whose store of images has these limits.
    pub(crate) async fn start_with(name: &str, limits: Limits) -> Self {
        Self::of(Site::new(Policy::default()), name, limits).await
    }

    async fn of(site: Site, name: &str, limits: Limits) -> Self {
        let ca = Ca::open(site.state.path(), name).unwrap();
        let ca_sha256 = Digest(ca.sha256());
        let config = MeshConfig {
            state: site.state.path().to_owned(),
            listen: [127, 0, 0, 1].into(),
            port: 0,
            gossip_port: 0,
        };
        let bound = Bound::bind(&config, ca, &site.store).unwrap();
        let links = bound.link_addr();
        let images = Images::open(site.state.path(), limits, site.store.clone());
        let images = images.unwrap();
        let bound = bound
            .with_images(images.clone(), "http://192.0.2.1:4880")
            .with_peers_cache(Some(CACHE));
        let policy = MeshPolicy {
            site: name.to_owned(),
            ca_sha256,
            port: links.port(),
        };
        site.policy(|p| p.mesh = Some(policy)).await;
        let mut tasks = JoinSet::new();
        let desk = Arc::clone(&site.desk);
        let known_as = Arc::new(move |ip| desk.station_at(ip));
        let stop = CancellationToken::new();
        let metrics = Arc::new(Metrics::default());
        let mesh = bound.start(
            &site.store,
            Arc::clone(&metrics),
            known_as,
            &mut tasks,
            &stop,
        );
        site.desk.federate(mesh.federation().clone());
        Self {
            site: site.with_mesh(&mesh).with_images(images.clone()),
            mesh,
            images,
            name: name.parse().unwrap(),
            links,
            metrics,
            tasks,
            stop,
        }
    }

    /// The controller ends; its folder and what its boot HTTP is stay.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    pub(crate) async fn allow(&self, other: &Self, ask: &[&str], boot: &[&str], unknown: bool) {
        self.allow_site(&other.name, ask, boot, unknown).await;
    }

    /// The same, for a site that is no town.
    pub(crate) async fn allow_site(
        &self,
        site: &SiteName,
        ask: &[&str],
        boot: &[&str],
        unknown: bool,
    ) {
        let selectors = |texts: &[&str]| Some(texts.iter().map(|t| t.parse().unwrap()).collect());
        let allow = AllowPeer {
            site: site.clone(),
            may_ask: selectors(ask),
            may_boot: selectors(boot),
            may_boot_unknown: Some(unknown),
            may_see: None,
            gives_images: None,
            by: "ann".to_owned(),
        };
        self.site.apply(allow).await.unwrap();
    }

    /// A new invitation to us.
    pub(crate) async fn invites(&self) -> InvitationText {
        let made = self.federation().invite("ann".to_owned()).await.unwrap();
        made.unwrap().1.parse().unwrap()
    }

    /// What the people of `other` may look at here.
    pub(crate) async fn shows(&self, other: &SiteName, see: &[&str], images: bool) {
        let allow = AllowPeer {
            site: other.clone(),
            may_ask: None,
            may_boot: None,
            may_boot_unknown: None,
            may_see: Some(see.iter().map(|t| t.parse().unwrap()).collect()),
            gives_images: Some(images),
            by: "ann".to_owned(),
        };
        self.site.apply(allow).await.unwrap();
    }

    /// A machine of ours in the pool that others may ask about.
    pub(crate) async fn owns(&self, mac: MacAddr) -> Machine {
        let machine = self.site.register(mac, "web1").await;
        let labels =
            std::collections::BTreeMap::from([("pool".to_owned(), Some("lab".to_owned()))]);
        let (status, told) = self
            .site
            .patch(
                &format!("/machines/{}", machine.name),
                &serde_json::json!({ "labels": labels }),
            )
            .await;
        assert_eq!(status, 200, "{told}");
        machine
    }

    /// Arms a config of two files that are here; closed when both were fetched.
    pub(crate) async fn arms(&self, cmdline: &str) -> Activation {
        self.arms_with(cmdline, content).await
    }

    /// The same of other files of the same sizes.
    pub(crate) async fn arms_other(&self) -> Activation {
        self.arms_with("quiet", |name, size| content(name, size).to_uppercase())
            .await
    }

    async fn arms_with(&self, cmdline: &str, content: fn(&str, usize) -> String) -> Activation {
        let folder = self.site.state.path().join("assets/files");
        let [kernel, initrd] = SIZES.map(|(name, size)| {
            let bytes = content(name, size);
            let sum = Sha256::digest(bytes.as_bytes());
            let sum: String = sum.iter().map(|b| format!("{b:02x}")).collect();
            std::fs::write(folder.join(&sum), bytes).unwrap();
            Asset::kept(name, &sum, size as u64)
        });
        let program = Program::Kernel {
            kernel,
            initrds: vec![initrd],
            cmdline: cmdline.to_owned(),
        };
        let name = "live".parse().unwrap();
        let config = BootConfig::new(name, program, Default::default(), Evidence::Fetched);
        self.site.apply(SetConfig(config)).await.unwrap();
        let activate = Activate {
            machine: MachineRef("web1".to_owned()),
            config: "live".parse().unwrap(),
            kind: Kind::OneShot,
            until: None,
            nonce: Nonce::from_random(rand::random()),
        };
        self.site.apply(activate).await.unwrap()
    }

    /// Waits for the view to be so.
    #[track_caller]
    pub(crate) fn until(
        &self,
        what: &'static str,
        wanted: impl Fn(&View) -> bool,
    ) -> impl Future<Output = ()> {
        let store = self.site.store.clone();
        async move {
            let reached = async {
                while !wanted(&store.view()) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let reached = tokio::time::timeout(PATIENCE, reached).await;
            assert!(reached.is_ok(), "never: {what}");
        }
    }

    pub(crate) fn federation(&self) -> &enforcer::federation::Federation {
        self.mesh.federation()
    }

    /// Why the peers' step gives what it gives, as `explain` says it.
    pub(crate) async fn explains(&self) -> (String, String) {
        let (plan, found) = self.explains_by("peers").await;
        (plan, found.unwrap())
    }

    /// The same, if something were otherwise: parameters of the query.
    pub(crate) async fn explains_if(&self, supposed: &str) -> (String, String) {
        let (plan, found) = self.explained("peers", supposed).await;
        (plan, found.unwrap())
    }

    /// The plan that `explain` says, and what it found by a rule that it looked at.
    pub(crate) async fn explains_by(&self, rule: &str) -> (String, Option<String>) {
        self.explained(rule, "").await
    }

    async fn explained(&self, rule: &str, supposed: &str) -> (String, Option<String>) {
        let path = format!("/explain?mac={MAC}&{supposed}");
        let (status, told) = self.site.api(&path).await;
        assert_eq!(status, 200, "{told}");
        let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
        let mut rules = told["why"].as_array().unwrap().iter();
        let rule = rules.find(|r| r["rule"] == rule);
        (text(&told["plan"]), rule.map(|r| text(&r["found"])))
    }
}

/// Waits for a link of one with the other.
pub(crate) async fn linked(a: &Town, b: &SiteName) {
    a.until("a link", |_| a.federation().links_with(b) > 0)
        .await;
}

/// Two sites get to know each other.
pub(crate) async fn acquaint(a: &Town, b: &Town) {
    let text = b.invites().await;
    a.federation().join(&text, "bob".to_owned()).await.unwrap();
    for (one, other) in [(a, b), (b, a)] {
        linked(one, &other.name).await;
        let told = |v: &View| v.named_by(&other.name).is_some();
        one.until("the other has named its machines", told).await;
    }
}

/// A and B know each other; B's machine of the pool may boot at A, where nobody knows it.
pub(crate) async fn towns() -> (Town, Town) {
    let (a, b) = (Town::start("site-a").await, Town::start("site-b").await);
    acquaint(&a, &b).await;
    b.owns(MAC).await;
    b.allow(&a, &["pool=lab"], &[], false).await;
    a.allow(&b, &[], &[], true).await;
    (a, b)
}

/// Waits until A knows that B has something for the machine.
pub(crate) async fn named(a: &Town) {
    a.until("the machine is named", |v| {
        v.peers_naming(MAC).next().is_some()
    })
    .await;
}
