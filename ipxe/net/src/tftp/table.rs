//! The running transfers and their limits: who gets a place, and who loses one.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use ipxe::tftp::Transfer;

use super::ahead::Ahead;
use crate::BootFile;

/// Transfers at once: more than a room of machines that are powered on together.
pub(super) const TRANSFERS_MAX: usize = 512;
/// Transfers of one address: a machine needs one, a NAT or a relay in front of some needs a few.
pub(super) const PER_ADDRESS_MAX: usize = 16;

/// A transfer and what it serves.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) transfer: Transfer,
    pub(super) file: BootFile,
    /// What was read of it before it is asked for.
    pub(super) ahead: Ahead,
    /// The address of ours that was asked; answers come from it.
    pub(super) at: Option<IpAddr>,
    /// Stands in the desk's queue of those with something to send.
    pub(super) queued: bool,
    arrival: u64,
}

/// Whether a newcomer gets a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// There is one.
    Free,
    /// When this one goes, which never acknowledged anything, so perhaps never was.
    After(SocketAddr),
    /// No: everybody who is here has shown to be alive. The reason is a metric label.
    None(&'static str),
}

/// How many transfers one address has.
#[derive(Debug, Default)]
struct Held {
    all: usize,
    silent: usize,
}

/// Transfers by their client's address and port.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: HashMap<SocketAddr, Slot>,
    per_address: HashMap<IpAddr, Held>,
    /// Those that never acknowledged anything, by arrival.
    silent: BTreeMap<u64, SocketAddr>,
    arrivals: u64,
}

impl Table {
    /// Whether there is a place for a transfer to `client`, who has none now.
    pub(super) fn room_for(&self, client: SocketAddr) -> Room {
        let held = self.per_address.get(&client.ip());
        let (loser, reason) = if held.is_some_and(|held| held.all >= PER_ADDRESS_MAX) {
            (self.oldest_silent_of(client.ip()), "tftp_per_address")
        } else if self.slots.len() >= TRANSFERS_MAX {
            (self.most_silent(), "tftp_full")
        } else {
            return Room::Free;
        };
        loser.map_or(Room::None(reason), Room::After)
    }

    fn oldest_silent_of(&self, address: IpAddr) -> Option<SocketAddr> {
        let mut silent = self.silent.values().copied();
        silent.find(|client| client.ip() == address)
    }

    /// The oldest silent transfer among the addresses that have most of them: whoever floods displaces himself, before
    /// an honest client that has just asked once.
    fn most_silent(&self) -> Option<SocketAddr> {
        let most = self.per_address.values().map(|held| held.silent).max()?;
        let mut silent = self.silent.values().copied();
        silent.find(|client| {
            let held = self.per_address.get(&client.ip());
            held.is_some_and(|held| held.silent == most)
        })
    }

    /// Gives `client` a place; [`Self::room_for`] said that there is one.
    pub(super) fn insert(
        &mut self,
        client: SocketAddr,
        transfer: Transfer,
        file: BootFile,
        at: Option<IpAddr>,
    ) {
        self.remove(client);
        self.arrivals += 1;
        let arrival = self.arrivals;
        self.silent.insert(arrival, client);
        let held = self.per_address.entry(client.ip()).or_default();
        held.all += 1;
        held.silent += 1;
        let slot = Slot {
            transfer,
            file,
            ahead: Ahead::default(),
            at,
            queued: false,
            arrival,
        };
        self.slots.insert(client, slot);
    }

    pub(super) fn get_mut(&mut self, client: SocketAddr) -> Option<&mut Slot> {
        self.slots.get_mut(&client)
    }

    /// The client showed to be alive: its place is safe.
    pub(super) fn keep(&mut self, client: SocketAddr) {
        let arrival = self.slots.get(&client).map(|slot| slot.arrival);
        if arrival.is_some_and(|arrival| self.silent.remove(&arrival).is_some())
            && let Some(held) = self.per_address.get_mut(&client.ip())
        {
            held.silent -= 1;
        }
    }

    pub(super) fn remove(&mut self, client: SocketAddr) -> Option<Slot> {
        self.keep(client); // silent no more
        let slot = self.slots.remove(&client)?;
        if let Some(held) = self.per_address.get_mut(&client.ip()) {
            held.all -= 1;
            if held.all == 0 {
                self.per_address.remove(&client.ip());
            }
        }
        Some(slot)
    }

    /// The transfers whose time has come.
    pub(super) fn due(&self, now: Instant) -> Vec<SocketAddr> {
        let due = |slot: &Slot| slot.transfer.poll_timeout().is_some_and(|at| at <= now);
        let slots = self.slots.iter().filter(|(_, slot)| due(slot));
        slots.map(|(client, _)| *client).collect()
    }

    /// The earliest deadline of all.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = self.slots.values().map(|slot| slot.transfer.poll_timeout());
        deadlines.flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ipxe::tftp::{Limits, Options, ReadRequest};

    use super::*;

    fn client(n: usize, port: u16) -> SocketAddr {
        let [.., a, b] = n.to_be_bytes();
        SocketAddr::from(([127, 0, a, b], port))
    }

    fn add(table: &mut Table, who: SocketAddr) {
        let request = ReadRequest {
            name: "f".into(),
            options: Options::default(),
        };
        let transfer = Transfer::new(request, 0, &Limits::default());
        table.insert(who, transfer, BootFile::Memory(Bytes::new()), None);
    }

    fn full() -> Table {
        let mut table = Table::default();
        (0..TRANSFERS_MAX).for_each(|n| add(&mut table, client(n, 1)));
        table
    }

    #[test]
    fn a_full_table_lets_the_oldest_silent_one_go() {
        let mut table = full();
        table.keep(client(0, 1));
        assert_eq!(
            table.room_for(client(9999, 1)),
            Room::After(client(1, 1)),
            "0 is alive, 1 is the oldest other"
        );
        table.remove(client(1, 1));
        assert_eq!(table.room_for(client(9999, 1)), Room::Free);
    }

    #[test]
    fn a_flood_displaces_itself_before_an_honest_newcomer() {
        let mut table = Table::default();
        add(&mut table, client(1, 1)); // honest, the oldest, not yet heard of
        for n in 1..TRANSFERS_MAX {
            let port = u16::try_from(n / 100).expect("small");
            add(&mut table, client(1000 + n % 100, 1 + port));
        }
        let mut flood = 0;
        while flood < 300 {
            match table.room_for(client(9999, 1)) {
                Room::After(loser) => {
                    assert!(loser != client(1, 1) && table.remove(loser).is_some());
                }
                other => unreachable!("{other:?}"),
            }
            flood += 1;
            add(
                &mut table,
                client(
                    1000 + flood % 100,
                    10_000 + u16::try_from(flood).expect("small"),
                ),
            );
        }
    }

    #[test]
    fn a_table_full_of_living_clients_has_no_room() {
        let mut table = full();
        (0..TRANSFERS_MAX).for_each(|n| table.keep(client(n, 1)));
        assert_eq!(table.room_for(client(9999, 1)), Room::None("tftp_full"));
    }

    #[test]
    fn an_address_only_displaces_its_own() {
        let mut table = Table::default();
        add(&mut table, client(1, 1));
        let own = 100..100 + u16::try_from(PER_ADDRESS_MAX).expect("small");
        own.clone()
            .for_each(|port| add(&mut table, client(2, port)));
        assert_eq!(table.room_for(client(2, 1)), Room::After(client(2, 100)));
        assert_eq!(table.room_for(client(3, 1)), Room::Free);
        own.for_each(|port| table.keep(client(2, port)));
        assert_eq!(table.room_for(client(2, 1)), Room::None("tftp_per_address"));
    }

    #[test]
    fn places_are_given_back() {
        let mut table = Table::default();
        for round in 0..3 {
            for port in 1..=8 {
                add(&mut table, client(1, port));
                add(&mut table, client(1, port)); // again, in the same place
            }
            assert_eq!(table.slots.len(), 8, "round {round}");
            (1..=8).for_each(|port| assert!(table.remove(client(1, port)).is_some()));
        }
        assert!(table.slots.is_empty() && table.silent.is_empty() && table.per_address.is_empty());
    }
}
