//! DHCP and TFTP ask.

use std::net::{IpAddr, SocketAddr};

use ipxe::{BootPlan, MacAddr, PxeClient};
use ipxe_net::{
    BootAuthority, BootFile, BootNote, BootOffer, LeaseAnswer, LeaseAsk, ScriptAsk, TftpEnd,
};

use super::{Desk, Through, arch_of, base_url, fresh_machine_id, lock, script_of, turns::Answerer};
use crate::{
    config::Rechain,
    metrics::Counter,
    state::{
        activation::Nonce,
        boot::{BootRequest, Decision},
        ops::{ClaimBoot, Saw},
        peer::Peers,
        trust::secret::BootSecret,
    },
};

impl BootAuthority for Desk {
    fn offer(&self, client: &PxeClient) -> BootOffer {
        self.offer_by(client, Answerer::Own)
    }
    async fn lease(&self, ask: LeaseAsk) -> LeaseAnswer {
        let answer = self.leases.lease(ask).await;
        let label = match answer {
            LeaseAnswer::Grant(_) => "grant",
            LeaseAnswer::Refuse => "refuse",
            LeaseAnswer::Silent => "silent",
        };
        self.metrics.count(Counter::LeaseAnswers, label);
        answer
    }

    fn tftp_file(&self, name: &str, from: IpAddr) -> Option<BootFile> {
        self.named_file(name, from)
    }

    async fn script(&self, ask: ScriptAsk) -> String {
        self.script_for(ask, None).await
    }

    fn note(&self, note: BootNote) {
        self.noted(note, None);
    }
}

impl Desk {
    /// What a client is offered by who hears it; silence where that is somebody else's turn.
    pub(super) fn offer_by(&self, client: &PxeClient, who: Answerer) -> BootOffer {
        let offer = self.offer_of(client);
        let now = self.store.now();
        if let (Answerer::Helper(node), true) = (who, offer != BootOffer::Silent) {
            self.heard_by(client.mac, node);
        }
        if offer != BootOffer::Silent && !lock(&self.turns).take(client.mac, who, now) {
            return BootOffer::Silent;
        }
        offer
    }

    /// What a client is offered.
    fn offer_of(&self, client: &PxeClient) -> BootOffer {
        let request = BootRequest {
            mac: client.mac,
            arch: None,
            session: None,
            after_management: false,
            base: String::new(),
            known_address: None,
            controller: None,
            peers: Default::default(),
        };
        if self.peek(&request).plan == BootPlan::Silent {
            return BootOffer::Silent;
        }
        let ours = || lock(&self.stages).runs_ours(client.mac, self.store.now());
        if client.ipxe && (self.rechain == Rechain::Never || ours()) {
            return BootOffer::Script;
        }
        match self.firmware.load().program(client.firmware) {
            Some(name) => BootOffer::Firmware(name.to_owned()),
            // A ROM that already is iPXE can do without ours.
            None if client.ipxe => BootOffer::Script,
            None => BootOffer::Silent,
        }
    }

    /// A machine's script; `through`: the helper that asks for it, and where it reaches us.
    pub(super) async fn script_for(
        &self,
        ask: ScriptAsk,
        through: Option<(&Through, SocketAddr)>,
    ) -> String {
        let base = base_url(ask.at);
        let session = ask
            .session
            .clone()
            .unwrap_or_else(|| format!("{:08x}", rand::random::<u32>()));
        lock(&self.stages).finished(ask.mac);
        lock(&self.addresses).learn(ask.from.ip(), ask.mac, self.store.now());
        let request = BootRequest {
            mac: ask.mac,
            arch: arch_of(ask.arch.as_deref()),
            session: Some(session.clone()),
            after_management: ask.after_management,
            base: base.clone(),
            known_address: self.known_address(ask.mac, ask.from.ip()),
            controller: through.map(|(_, controller)| controller),
            peers: Default::default(),
        };
        self.saw(&ask);
        let (request, peeked) = self.peers_asked(request).await;
        let decision = match peeked.claim {
            None => peeked,
            // Nothing leaves before the claim is durable; when it cannot be, the machine boots its disk.
            Some(_) => match self
                .store
                .apply(ClaimBoot {
                    request,
                    fresh_id: fresh_machine_id(),
                    fresh_secret: BootSecret::fresh(rand::random()),
                    fresh_nonce: Nonce::from_random(rand::random()),
                })
                .await
            {
                Ok(decision) => decision,
                Err(error) => {
                    tracing::error!(mac = %ask.mac, %error, "a boot could not be claimed: the machine is sent to its disk");
                    return ipxe::render(
                        &BootPlan::LocalDisk(peeked.local),
                        super::Surroundings {
                            base: &base,
                            machine: "",
                            local: peeked.local,
                        },
                    );
                }
            },
        };
        let helper = through.map(|(helper, _)| helper);
        self.told(ask.mac, &decision, &session, Some(ask.from.ip()), helper);
        if self.is_without_secret(&decision) {
            self.timeline.without_secret(ask.mac, ask.from.ip());
        }
        script_of(&decision, &self.store.view(), ask.mac, &base)
    }

    /// Writes down what a machine is told, and counts it: the same answer again within seconds is only counted.
    pub(super) fn told(
        &self,
        mac: MacAddr,
        decision: &Decision,
        session: &str,
        from: Option<IpAddr>,
        helper: Option<&Through>,
    ) {
        self.metrics
            .count(Counter::BootAnswers, decision.plan.kind());
        let from = from.map(|ip| ip.to_canonical());
        self.timeline.told(mac, decision, session, from, helper);
    }

    /// What happened on a socket, ours or a helper's.
    pub(super) fn noted(&self, note: BootNote, helper: Option<&Through>) {
        match note {
            BootNote::Asked { client, offer } => self.asked(&client, &offer, helper),
            BootNote::AddressRequested { mac, ip } => {
                lock(&self.addresses).requested(mac, ip.into(), self.store.now());
            }
            BootNote::ForeignServer { server, boots, .. } => self.timeline.foreign(server, boots),
            BootNote::Tftp {
                from, name, end, ..
            } => self.tftp_ended(from, &name, end),
            BootNote::Http { from, path, status } => self.http_answered(from, &path, status),
            BootNote::Dropped(reason) => self.metrics.count(Counter::Dropped, reason),
        }
    }

    /// The question, with what peers say where they are to be asked: what one granted is due when this returns.
    async fn peers_asked(&self, mut request: BootRequest) -> (BootRequest, Decision) {
        let peeked = self.peek(&request);
        if peeked.plan != BootPlan::AskPeers {
            return (request, peeked);
        }
        let answers = match self.federation.get() {
            Some(federation) => federation.look_up(&request, true).await.into_answers(),
            None => Vec::new(),
        };
        request.peers = Peers::Asked(answers);
        let peeked = self.peek(&request);
        (request, peeked)
    }

    /// The address, if it is the one that DHCP knows for this station.
    pub(super) fn known_address(&self, mac: MacAddr, ip: IpAddr) -> Option<IpAddr> {
        let (ip, now) = (ip.to_canonical(), self.store.now());
        let view = self.store.view();
        let leased = view
            .lease(mac)
            .is_some_and(|l| IpAddr::V4(l.ip) == ip && now < l.expires);
        let known = leased || lock(&self.addresses).is_requested(mac, ip, now);
        known.then_some(ip)
    }

    /// The station that DHCP knows at an address: leased, or requested in the last five minutes.
    #[must_use]
    pub fn station_at(&self, ip: IpAddr) -> Option<MacAddr> {
        let (ip, now) = (ip.to_canonical(), self.store.now());
        let view = self.store.view();
        let leased = match ip {
            IpAddr::V4(v4) => view.lease_on(v4).filter(|l| now < l.expires).map(|l| l.mac),
            IpAddr::V6(_) => None,
        };
        leased.or_else(|| {
            let addresses = lock(&self.addresses);
            let mac = addresses.mac(ip, now)?;
            addresses.is_requested(mac, ip, now).then_some(mac)
        })
    }

    fn is_without_secret(&self, decision: &Decision) -> bool {
        let management = matches!(decision.plan, BootPlan::Management(_));
        management && decision.secret.is_none() && self.store.view().policy.mesh.is_some()
    }

    fn saw(&self, ask: &ScriptAsk) {
        let saw = Saw {
            mac: ask.mac,
            uuid: ask.uuid.clone(),
            serial: ask.serial.clone(),
            firmware: None,
            guess: None,
            fresh_id: fresh_machine_id(),
        };
        self.store.note_change(ask.mac, saw);
    }

    fn asked(&self, client: &PxeClient, offer: &BootOffer, helper: Option<&Through>) {
        let label = match offer {
            BootOffer::Silent => "silent",
            BootOffer::Firmware(_) => "firmware",
            BootOffer::Script => "script",
        };
        self.metrics.count(Counter::BootOffers, label);
        // A ROM says what it is; an iPXE, also one we sent, how it was built.
        let (firmware, guess) = match client.ipxe {
            false => (Some(client.firmware), None),
            true => (None, Some(client.firmware)),
        };
        let saw = Saw {
            mac: client.mac,
            uuid: None,
            serial: None,
            firmware,
            guess,
            fresh_id: fresh_machine_id(),
        };
        self.store.note_change(client.mac, saw);
        self.timeline.asked(client, offer, helper);
    }

    fn tftp_ended(&self, from: IpAddr, name: &str, end: TftpEnd) {
        let label = match end {
            TftpEnd::Complete => "complete",
            TftpEnd::Aborted => "aborted",
            TftpEnd::Restarted => "restarted",
            TftpEnd::TimedOut => "timed-out",
            TftpEnd::NotFound => "not-found",
            TftpEnd::Refused => "refused",
        };
        self.metrics.count(Counter::TftpTransfers, label);
        if end == TftpEnd::Complete {
            self.program_loaded(from, name, "TFTP");
        }
    }

    fn http_answered(&self, from: IpAddr, path: &str, status: u16) {
        let kind = path
            .split('/')
            .nth(1)
            .filter(|k| matches!(*k, "boot.ipxe" | "boot" | "firmware" | "assets" | "v1"));
        self.metrics
            .count(Counter::BootRequests, kind.unwrap_or("other"));
        if !(200..300).contains(&status) {
            return;
        }
        if let Some(name) = path
            .strip_prefix("/firmware/")
            .filter(|n| *n != crate::firmware::LOCALBOOT)
        {
            self.program_loaded(from, name, "HTTP");
        } else if let Some(name) = path.strip_prefix("/assets/management-os/")
            && let Some(mac) = lock(&self.addresses).mac(from, self.store.now())
        {
            self.timeline.management_file(mac, name);
        }
    }

    /// A boot program reached a machine: the iPXE that asks next is ours.
    fn program_loaded(&self, from: IpAddr, name: &str, protocol: &str) {
        let now = self.store.now();
        let Some(mac) = lock(&self.addresses).mac(from, now) else {
            return;
        };
        lock(&self.stages).loaded(mac, now);
        self.timeline.firmware_loaded(mac, name, protocol);
    }
}
