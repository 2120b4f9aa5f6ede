//! Whether an order is obeyed, and as what: order + what this node knows → action or refusal. Pure; the doing is
//! [`crate::effects`]' work.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mesh_proto::identity::Role;
use mesh_proto::message::command::{Command, Order};
use mesh_proto::message::link::Habitat;
use mesh_proto::message::{Refusal, RefusalCode};

/// Ids remembered in one boot. A controller sends a machine a handful; the oldest is forgotten first.
const SEEN_IDS: usize = 1024;

/// Longest id taken: the controller's are a few dozen characters.
const MAX_ID_BYTES: usize = 128;

/// Longest time a lamp blinks: nobody walks longer to a rack.
const MAX_IDENTIFY: Duration = Duration::from_secs(3600);

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Restart the machine, after the reply has arrived.
    Reboot,
    /// Power the machine off, after the reply has arrived.
    PowerOff,
    /// Blink and show.
    Identify(Duration),
    /// Read the hardware again.
    Inventory,
    /// Send a magic packet to this hardware address.
    Wake([u8; 6]),
    /// A new key pair.
    RotateKeys,
}

/// How an order came.
#[derive(Debug, Clone, Copy)]
pub struct Receipt {
    /// What the other side's certificate says it is.
    pub from: Role,
    /// When its frame was complete.
    pub received: Instant,
    /// Now.
    pub now: Instant,
}

/// What this node knows about itself and its past.
#[derive(Debug)]
pub struct Node {
    /// This boot.
    pub boot_id: String,
    /// What it runs in.
    pub habitat: Habitat,
    /// It may restart and stop the machine; an agent without root may not.
    pub has_power: bool,
    seen: VecDeque<String>,
}

impl Node {
    /// A node that has seen no order yet.
    #[must_use]
    pub fn new(boot_id: String, habitat: Habitat, has_power: bool) -> Self {
        Self {
            boot_id,
            habitat,
            has_power,
            seen: VecDeque::new(),
        }
    }

    /// Decides about one order. An id that was taken is never taken again in this boot, whatever became of it.
    ///
    /// # Errors
    /// The refusal is the reply.
    pub fn dispatch(&mut self, order: &Order, receipt: &Receipt) -> Result<Action, Refusal> {
        self.check(order, receipt)?;
        if self.seen.len() == SEEN_IDS {
            self.seen.pop_front();
        }
        self.seen.push_back(order.id.clone());
        self.action(&order.command)
    }

    fn check(&self, order: &Order, receipt: &Receipt) -> Result<(), Refusal> {
        let refused = |code, text: &str| Err(Refusal::new(code, text));
        let age = receipt.now.saturating_duration_since(receipt.received);
        if receipt.from != Role::Controller {
            return refused(RefusalCode::NotAllowed, "only a controller commands");
        }
        if order.boot_id != self.boot_id {
            return refused(RefusalCode::WrongBoot, "the machine was started anew since");
        }
        if order.id.is_empty() || order.id.len() > MAX_ID_BYTES {
            return refused(RefusalCode::Protocol, "the order has no usable id");
        }
        if self.seen.contains(&order.id) {
            return refused(RefusalCode::Replayed, "this order was received before");
        }
        if age >= Duration::from_millis(order.ttl_ms.into()) {
            return refused(
                RefusalCode::Expired,
                "the order waited here for longer than it is good",
            );
        }
        Ok(())
    }

    fn action(&self, command: &Command) -> Result<Action, Refusal> {
        match command {
            Command::Reboot => self.power(Action::Reboot),
            Command::Stop => self.power(match self.habitat {
                // Back to its disk: the next boot script says so.
                Habitat::ManagementOs => Action::Reboot,
                Habitat::InstalledOs => Action::PowerOff,
            }),
            Command::Identify { seconds } => {
                let time = Duration::from_secs((*seconds).into());
                Ok(Action::Identify(time.min(MAX_IDENTIFY)))
            }
            Command::Inventory => Ok(Action::Inventory),
            Command::Wake { mac } => station(mac).map(Action::Wake).ok_or_else(|| {
                Refusal::new(
                    RefusalCode::Protocol,
                    "that is not the hardware address of a card",
                )
            }),
            Command::RotateKeys => Ok(Action::RotateKeys),
        }
    }

    fn power(&self, action: Action) -> Result<Action, Refusal> {
        if self.has_power {
            return Ok(action);
        }
        Err(Refusal::new(
            RefusalCode::Unsupported,
            "this agent does not run as root, so it cannot restart or stop the machine",
        ))
    }
}

/// Six octets; no group address, which no card has.
fn station(mac: &str) -> Option<[u8; 6]> {
    let octets = crate::hex::decode::<6>(&mac.replace([':', '-'], ""))?;
    (octets[0] & 1 == 0).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "b7e1f5a0-1111-4222-8333-444455556666";

    fn order(id: &str, command: Command) -> Order {
        Order {
            id: id.into(),
            boot_id: BOOT.into(),
            ttl_ms: 30_000,
            command,
        }
    }

    fn receipt(from: Role, waited_ms: u64) -> Receipt {
        let received = Instant::now();
        Receipt {
            from,
            received,
            now: received + Duration::from_millis(waited_ms),
        }
    }

    fn node(habitat: Habitat) -> Node {
        Node::new(BOOT.into(), habitat, true)
    }

    fn refusal(node: &mut Node, order: &Order, receipt: &Receipt) -> RefusalCode {
        node.dispatch(order, receipt).unwrap_err().code
    }

    #[test]
    fn what_is_not_a_live_order_of_a_controller_for_this_boot_is_refused() {
        let good = order("1", Command::Reboot);
        let other_boot = Order {
            boot_id: "b7e1f5a0-1111-4222-8333-444455556667".into(),
            ..good.clone()
        };
        for (order, from, waited_ms, want) in [
            (&good, Role::Agent, 0, RefusalCode::NotAllowed),
            (&good, Role::Peer, 0, RefusalCode::NotAllowed),
            (&other_boot, Role::Controller, 0, RefusalCode::WrongBoot),
            (&good, Role::Controller, 30_000, RefusalCode::Expired),
            (
                &self::order("", Command::Reboot),
                Role::Controller,
                0,
                RefusalCode::Protocol,
            ),
            (
                &self::order(&"x".repeat(129), Command::Reboot),
                Role::Controller,
                0,
                RefusalCode::Protocol,
            ),
        ] {
            let mut node = node(Habitat::ManagementOs);
            assert_eq!(refusal(&mut node, order, &receipt(from, waited_ms)), want);
            // A refusal must not burn the id: the same order may be good when it comes the right way.
            assert_eq!(
                node.dispatch(&good, &receipt(Role::Controller, 29_999)),
                Ok(Action::Reboot)
            );
        }
    }

    #[test]
    fn an_order_is_obeyed_once_in_a_boot() {
        let mut node = node(Habitat::InstalledOs);
        let now = receipt(Role::Controller, 0);
        let first = order("1", Command::Inventory);
        assert_eq!(node.dispatch(&first, &now), Ok(Action::Inventory));
        assert_eq!(refusal(&mut node, &first, &now), RefusalCode::Replayed);
        // Another content under the same id is a replay as well.
        assert_eq!(
            refusal(&mut node, &order("1", Command::Reboot), &now),
            RefusalCode::Replayed
        );
        assert_eq!(
            node.dispatch(&order("2", Command::Reboot), &now),
            Ok(Action::Reboot)
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut node = node(Habitat::InstalledOs);
        let now = receipt(Role::Controller, 0);
        for n in 0..=SEEN_IDS {
            node.dispatch(&order(&n.to_string(), Command::Inventory), &now)
                .unwrap();
        }
        assert_eq!(node.seen.len(), SEEN_IDS);
        assert_eq!(
            refusal(&mut node, &order("1", Command::Inventory), &now),
            RefusalCode::Replayed
        );
    }

    #[test]
    fn each_command_means_what_it_means_where_the_agent_runs() {
        let wake = |mac: &str| Command::Wake { mac: mac.into() };
        for (habitat, command, want) in [
            (Habitat::ManagementOs, Command::Stop, Some(Action::Reboot)),
            (Habitat::InstalledOs, Command::Stop, Some(Action::PowerOff)),
            (Habitat::InstalledOs, Command::Reboot, Some(Action::Reboot)),
            (
                Habitat::ManagementOs,
                Command::RotateKeys,
                Some(Action::RotateKeys),
            ),
            (
                Habitat::ManagementOs,
                Command::Identify { seconds: 5 },
                Some(Action::Identify(Duration::from_secs(5))),
            ),
            (
                Habitat::ManagementOs,
                Command::Identify { seconds: u32::MAX },
                Some(Action::Identify(MAX_IDENTIFY)),
            ),
            (
                Habitat::InstalledOs,
                wake("52:54:00:77:00:0A"),
                Some(Action::Wake([0x52, 0x54, 0, 0x77, 0, 0x0a])),
            ),
            (
                Habitat::InstalledOs,
                wake("52-54-00-77-00-0a"),
                Some(Action::Wake([0x52, 0x54, 0, 0x77, 0, 0x0a])),
            ),
            (Habitat::InstalledOs, wake("ff:ff:ff:ff:ff:ff"), None),
            (Habitat::InstalledOs, wake("52:54:00:77:00"), None),
        ] {
            let got =
                node(habitat).dispatch(&order("1", command.clone()), &receipt(Role::Controller, 0));
            assert_eq!(got.ok(), want, "{command:?}");
        }
    }

    #[test]
    fn without_root_nobody_is_promised_a_reboot() {
        for command in [Command::Reboot, Command::Stop] {
            let mut node = Node::new(BOOT.into(), Habitat::InstalledOs, false);
            let code = refusal(
                &mut node,
                &order("1", command),
                &receipt(Role::Controller, 0),
            );
            assert_eq!(code, RefusalCode::Unsupported);
        }
    }
}
