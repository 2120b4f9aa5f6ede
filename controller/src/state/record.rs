//! The typed keys and values that the store keeps, one table each.

use std::{net::Ipv4Addr, sync::Arc};

use ipxe::MacAddr;

use super::{
    activation::{Activation, ActivationId},
    config::{BootConfig, ConfigName},
    event::Event,
    lease::{Declined, LeaseRecord, Reservation},
    machine::{Machine, MachineId},
};

/// A stored value; its key is inside. Shared, so that the view keeps it without a copy.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A machine, by id.
    Machine(Arc<Machine>),
    /// A boot config, by name.
    Config(Arc<BootConfig>),
    /// An activation, by id.
    Activation(Arc<Activation>),
    /// A DHCP lease, by hardware address.
    Lease(Arc<LeaseRecord>),
    /// A fixed address, by hardware address.
    Reservation(Arc<Reservation>),
    /// An address that somebody else was found to use.
    Declined(Declined),
    /// An event, by sequence number.
    Event(Arc<Event>),
}

/// The key of a stored value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// See [`Record::Machine`].
    Machine(MachineId),
    /// See [`Record::Config`].
    Config(ConfigName),
    /// See [`Record::Activation`].
    Activation(ActivationId),
    /// See [`Record::Lease`].
    Lease(MacAddr),
    /// See [`Record::Reservation`].
    Reservation(MacAddr),
    /// See [`Record::Declined`].
    Declined(Ipv4Addr),
    /// See [`Record::Event`].
    Event(u64),
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Insert or replace.
    Put(Record),
    /// Remove, if there.
    Delete(Key),
}

impl Record {
    /// Where this value is kept.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Machine(m) => Key::Machine(m.id.clone()),
            Self::Config(c) => Key::Config(c.name.clone()),
            Self::Activation(a) => Key::Activation(a.id),
            Self::Lease(l) => Key::Lease(l.mac),
            Self::Reservation(r) => Key::Reservation(r.mac),
            Self::Declined(d) => Key::Declined(d.ip),
            Self::Event(e) => Key::Event(e.seq),
        }
    }
}

impl From<Record> for Write {
    fn from(record: Record) -> Self {
        Self::Put(record)
    }
}

impl From<Key> for Write {
    fn from(key: Key) -> Self {
        Self::Delete(key)
    }
}

macro_rules! put {
    ($($value:ty => $record:ident),+ $(,)?) => {$(
        impl From<$value> for Write {
            fn from(value: $value) -> Self {
                Self::Put(Record::$record(value.into()))
            }
        }
    )+};
}

put!(Machine => Machine, BootConfig => Config, Activation => Activation, LeaseRecord => Lease, Reservation => Reservation, Declined => Declined);
