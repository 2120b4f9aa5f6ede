//! What the boot sockets tell, as events a person can follow: the boot timeline.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::Mutex,
};

use ipxe::{BootPlan, MacAddr, PxeClient};
use ipxe_net::BootOffer;

use super::{Through, lock};
use crate::{
    state::{Timestamp, audit, boot::Decision, event::Draft},
    store::Store,
};

/// Stations whose last line is remembered, so that a DISCOVER and its REQUEST are one line.
const MAX: usize = 8192;
/// The same line of the same station within this is not repeated, seconds.
const REPEAT_S: i64 = 5;
/// A server that answers everybody is told of this often, seconds.
const SERVER_REPEAT_S: i64 = 3600;

/// Whom a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Subject {
    Station(MacAddr),
    Server(Ipv4Addr),
}

/// Writes timeline events.
pub(super) struct Timeline {
    store: Store,
    last: Mutex<HashMap<Subject, (String, Timestamp)>>,
}

impl Timeline {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            last: Mutex::default(),
        }
    }

    /// A boot client asked by DHCP.
    pub(super) fn asked(&self, client: &PxeClient, offer: &BootOffer, helper: Option<&Through>) {
        let firmware = client.firmware.describe();
        let (kind, told) = match offer {
            // Not ours, or nothing to send: `machine.seen` tells it once.
            BootOffer::Silent => return,
            BootOffer::Firmware(name) => (
                "boot.firmware-offered",
                format!("{firmware} asks to boot: offered {name}"),
            ),
            BootOffer::Script => (
                "boot.script-offered",
                format!("iPXE ({firmware}) asks to boot: offered its script"),
            ),
        };
        let draft = Draft::new(kind, told + &by(helper)).field("firmware", firmware);
        self.tell(client.mac, through(draft, helper));
    }

    /// A machine loaded a boot program.
    pub(super) fn firmware_loaded(&self, mac: MacAddr, name: &str, protocol: &str) {
        let draft = Draft::new(
            "boot.firmware-loaded",
            format!("loaded {name} by {protocol}"),
        );
        self.tell(mac, draft.field("file", name));
    }

    /// A machine was told what to run.
    pub(super) fn told(
        &self,
        mac: MacAddr,
        decision: &Decision,
        session: &str,
        from: Option<IpAddr>,
        helper: Option<&Through>,
    ) {
        let reason = decision
            .why
            .iter()
            .find(|w| w.decided)
            .map_or("", |w| w.found.as_str());
        let what = match &decision.plan {
            BootPlan::Config(_) => "its boot config",
            BootPlan::Management(_) => "the management OS",
            BootPlan::LocalDisk(_) => "its own disk",
            BootPlan::AskPeers | BootPlan::Silent => "its own disk, as it is not ours",
        };
        let by = by(helper);
        let draft = Draft::new(audit::TOLD, format!("told to boot {what}{by}: {reason}"));
        let mut draft = draft.field("plan", decision.plan.kind());
        if !session.is_empty() {
            draft = draft.field("session", session);
        }
        if let Some(from) = from {
            draft = draft.field("from", from.to_string());
        }
        self.tell(mac, through(draft, helper));
    }

    /// A machine was sent the management OS without a secret to enrol with.
    pub(super) fn without_secret(&self, mac: MacAddr, from: IpAddr) {
        let text = format!(
            "its script went to {from} without a boot secret: DHCP does not know that address for {mac}, or the secret was used; a person will have to accept its key"
        );
        self.tell(
            mac,
            Draft::new("boot.without-secret", text).field("from", from.to_string()),
        );
    }

    /// A machine fetched a file of the management OS.
    pub(super) fn management_file(&self, mac: MacAddr, name: &str) {
        self.tell(
            mac,
            Draft::new(
                "boot.management-os",
                format!("fetches the management OS: {name}"),
            )
            .field("file", name),
        );
    }

    /// Another DHCP server was heard.
    pub(super) fn foreign(&self, server: Ipv4Addr, boots: bool) {
        let text = if boots {
            format!(
                "another boot server answers on this segment: {server}; machines take the first answer, so stop one of them"
            )
        } else {
            format!("a DHCP server is at {server}")
        };
        let draft = Draft::new(if boots { "dhcp.rival" } else { "dhcp.server" }, text);
        if self.is_news(Subject::Server(server), &draft, SERVER_REPEAT_S) {
            self.store.note(draft.field("server", server.to_string()));
        }
    }

    fn tell(&self, mac: MacAddr, draft: Draft) {
        if !self.is_news(Subject::Station(mac), &draft, REPEAT_S) {
            return;
        }
        let machine = self.store.view().machine_by_mac(mac).map(|m| m.id.clone());
        let draft = draft.mac(mac);
        self.store.note(match machine {
            Some(id) => draft.machine(&id),
            None => draft,
        });
    }

    /// Whether this line was not told of `subject` within `rest` seconds.
    fn is_news(&self, subject: Subject, draft: &Draft, rest: i64) -> bool {
        let now = self.store.now();
        let mut last = lock(&self.last);
        let repeated = |(text, at): &(String, Timestamp)| {
            *text == draft.text && !super::older_than(*at, now, rest)
        };
        if last.get(&subject).is_some_and(repeated) {
            return false;
        }
        if last.len() >= MAX {
            last.clear();
        }
        last.insert(subject, (draft.text.clone(), now));
        true
    }
}

/// Through whom, in a line's text.
fn by(helper: Option<&Through>) -> String {
    helper.map_or(String::new(), |helper| format!(" through {}", helper.name))
}

/// Through whom, for programs.
fn through(draft: Draft, helper: Option<&Through>) -> Draft {
    match helper {
        Some(helper) => draft.field("helper", helper.name.clone()),
        None => draft,
    }
}
