//! Waking a machine: a magic packet from this host, and from a member nearby, since broadcasts do not leave a segment.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
};

use ipxe::MacAddr;
use ipxe_net::dhcp::own_addresses;
use mesh_proto::message::command::Command;
use tracing::warn;

use super::Mesh;
use crate::ordered::sort_by;
use crate::state::{
    View,
    machine::{Machine, MachineId, Standing},
    ops::{Giver, MachineRef},
};

/// The discard port, where magic packets go by custom.
const PORT: u16 = 9;
/// Members that are asked to help: those in the sleeper's segment are not known, so a few are tried.
const HELPERS: usize = 3;

impl Mesh {
    /// Wakes a machine by all its cards. Says who sent the packets.
    pub async fn wake(&self, machine: &Machine, by: &str) -> Vec<String> {
        let mut senders = Vec::new();
        for mac in &machine.macs {
            if broadcast(*mac) {
                senders.push("controller".to_owned());
            }
            for (id, name) in helpers(&self.0.store.view(), &machine.id) {
                let command = Command::Wake {
                    mac: mac.to_string(),
                };
                // It asks another machine, and disturbs it in nothing.
                let by = Giver::Controller(by.to_owned());
                match self.command(MachineRef(id.to_string()), command, by).await {
                    Ok(Ok(_)) => senders.push(name),
                    Ok(Err(error)) => {
                        warn!(machine = %name, "a machine cannot help to wake another: {error}");
                    }
                    Err(error) => {
                        warn!(machine = %name, "a machine cannot help to wake another: {error}");
                    }
                }
            }
        }
        sort_by(&mut senders, Ord::cmp);
        senders.dedup();
        senders
    }
}

/// Members that may be asked to send.
fn helpers(view: &View, sleeper: &MachineId) -> Vec<(MachineId, String)> {
    let able = |m: &Machine| m.standing == Standing::Accepted && m.disputed.is_none();
    let alive = view
        .members()
        .filter(|m| m.is_alive() && m.machine != *sleeper);
    let machines = alive.filter_map(|m| view.machine(&m.machine));
    machines
        .filter(|m| able(m))
        .map(|m| (m.id.clone(), m.name.to_string()))
        .take(HELPERS)
        .collect()
}

/// Sends from each of this host's addresses; whether one of them could.
pub(crate) fn broadcast(mac: MacAddr) -> bool {
    let sent = own_addresses().into_iter().map(|from| send(from, mac));
    sent.filter_map(|s| {
        s.map_err(|error| warn!(%error, "a magic packet was not sent"))
            .ok()
    })
    .count()
        > 0
}

fn send(from: Ipv4Addr, mac: MacAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.set_broadcast(true)?;
    socket.send_to(&magic(mac), (Ipv4Addr::BROADCAST, PORT))?;
    Ok(())
}

/// AMD's "Magic Packet Technology": six times FF, then the address sixteen times.
fn magic(mac: MacAddr) -> Vec<u8> {
    let mut packet = vec![0xff; 6];
    packet.extend(mac.0.repeat(16));
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_magic_packet_names_the_card_sixteen_times() {
        let packet = magic(MacAddr([1, 2, 3, 4, 5, 6]));
        assert_eq!(packet.len(), 102);
        assert_eq!(packet[..6], [0xff; 6]);
        assert!(packet[6..].chunks(6).all(|c| c == [1, 2, 3, 4, 5, 6]));
    }
}
