//! The typed keys and values that the store keeps, one table each.

use std::{net::Ipv4Addr, sync::Arc};

use ipxe::MacAddr;

use super::{
    activation::{Activation, ActivationId, Nonce},
    answered::Answered,
    api_token::{ApiToken, TokenPrefix},
    command::{CommandId, CommandRecord},
    config::{BootConfig, ConfigName},
    deployment::{Deployment, DeploymentId},
    event::Recorded,
    facts::FactsRecord,
    image::{Image, ImageName},
    lease::{Declined, LeaseRecord, Reservation},
    machine::{Machine, MachineId},
    member::Member,
    notify::{Delivery, DeliveryId, HookName, Webhook},
    password::Password,
    peer::{Invitation, NamedMacs, Outgoing, Peer, SiteName},
    power::PowerSettings,
    provider::{NodeName, ProviderMember, ProviderName},
    rollout::{Rollout, RolloutId},
    session::Session,
    setup::{Setup, SetupName},
    trust::{
        Digest,
        key::{EnrolledKey, Serial},
        pending::Pending,
        ring::KeyRing,
        stamp::Stamp,
        token::{JoinToken, TokenId},
    },
    user::{User, UserName},
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
    Event(Recorded),
    /// An enrolled key, by its certificate's serial.
    EnrolledKey(Arc<EnrolledKey>),
    /// A key that waits for a person, by its own digest.
    Pending(Arc<Pending>),
    /// A join token, by name.
    Token(Arc<JoinToken>),
    /// A machine's facts.
    Facts(Arc<FactsRecord>),
    /// A machine's agent in the mesh.
    Member(Arc<Member>),
    /// A command, by number.
    Command(Arc<CommandRecord>),
    /// The gossip key ring; there is one.
    Ring(Arc<KeyRing>),
    /// The newest issuing time; there is one.
    Stamp(Stamp),
    /// A webhook or mail subscription, by name.
    Webhook(Arc<Webhook>),
    /// A notification on its way, by number.
    Delivery(Arc<Delivery>),
    /// How a machine is switched.
    Power(Arc<PowerSettings>),
    /// An image with its versions, by name.
    Image(Arc<Image>),
    /// A deployment, by number.
    Deployment(Arc<Deployment>),
    /// A rollout, by number.
    Rollout(Arc<Rollout>),
    /// A setup, by name.
    Setup(Arc<Setup>),
    /// A person, by name.
    User(Arc<User>),
    /// What a program shows in place of a person, by prefix.
    ApiToken(Arc<ApiToken>),
    /// What is kept of a person's password.
    Password(Arc<Password>),
    /// Who signed in with one, by what is kept of what their browser shows.
    Session(Arc<Session>),
    /// A member of a provider, by its name there.
    ProviderMember(Arc<ProviderMember>),
    /// Another site, by name.
    Peer(Arc<Peer>),
    /// An invitation to another site, by name.
    Invitation(Arc<Invitation>),
    /// The MACs that a peer has named.
    NamedMacs(Arc<NamedMacs>),
    /// What a peer has still to be told, by its grant.
    Outgoing(Arc<Outgoing>),
    /// A request that was answered, by its asker's name for it.
    Answered(Arc<Answered>),
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
    /// See [`Record::EnrolledKey`].
    EnrolledKey(Serial),
    /// See [`Record::Pending`].
    Pending(Digest),
    /// See [`Record::Token`].
    Token(TokenId),
    /// See [`Record::Facts`].
    Facts(MachineId),
    /// See [`Record::Member`].
    Member(MachineId),
    /// See [`Record::Command`].
    Command(CommandId),
    /// See [`Record::Ring`].
    Ring,
    /// See [`Record::Stamp`].
    Stamp,
    /// See [`Record::Webhook`].
    Webhook(HookName),
    /// See [`Record::Delivery`].
    Delivery(DeliveryId),
    /// See [`Record::Power`].
    Power(MachineId),
    /// See [`Record::Image`].
    Image(ImageName),
    /// See [`Record::Deployment`].
    Deployment(DeploymentId),
    /// See [`Record::Rollout`].
    Rollout(RolloutId),
    /// See [`Record::Setup`].
    Setup(SetupName),
    /// See [`Record::User`].
    User(UserName),
    /// See [`Record::ApiToken`].
    ApiToken(TokenPrefix),
    /// See [`Record::Password`].
    Password(UserName),
    /// See [`Record::Session`].
    Session(Digest),
    /// See [`Record::ProviderMember`].
    ProviderMember(ProviderName, NodeName),
    /// See [`Record::Peer`].
    Peer(SiteName),
    /// See [`Record::Invitation`].
    Invitation(TokenId),
    /// See [`Record::NamedMacs`].
    NamedMacs(SiteName),
    /// See [`Record::Outgoing`].
    Outgoing(Nonce),
    /// See [`Record::Answered`].
    Answered(Digest),
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
            Self::Event(e) => Key::Event(e.seq()),
            Self::EnrolledKey(k) => Key::EnrolledKey(k.serial.clone()),
            Self::Pending(p) => Key::Pending(p.key),
            Self::Token(t) => Key::Token(t.id.clone()),
            Self::Facts(f) => Key::Facts(f.machine.clone()),
            Self::Member(m) => Key::Member(m.machine.clone()),
            Self::Command(c) => Key::Command(c.id),
            Self::Ring(_) => Key::Ring,
            Self::Stamp(_) => Key::Stamp,
            Self::Webhook(w) => Key::Webhook(w.name.clone()),
            Self::Delivery(d) => Key::Delivery(d.id),
            Self::Power(p) => Key::Power(p.machine.clone()),
            Self::Image(i) => Key::Image(i.name.clone()),
            Self::Deployment(d) => Key::Deployment(d.id),
            Self::Rollout(r) => Key::Rollout(r.id),
            Self::Setup(s) => Key::Setup(s.name.clone()),
            Self::User(u) => Key::User(u.name.clone()),
            Self::ApiToken(t) => Key::ApiToken(t.prefix),
            Self::Password(p) => Key::Password(p.user.clone()),
            Self::Session(s) => Key::Session(s.id),
            Self::ProviderMember(m) => Key::ProviderMember(m.provider.clone(), m.node.clone()),
            Self::Peer(p) => Key::Peer(p.site.clone()),
            Self::Invitation(i) => Key::Invitation(i.id.clone()),
            Self::NamedMacs(n) => Key::NamedMacs(n.site.clone()),
            Self::Outgoing(o) => Key::Outgoing(o.nonce.clone()),
            Self::Answered(a) => Key::Answered(a.name),
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

/// A type of stored value that views keep in a table of its own.
pub(crate) trait Kept: 'static {
    /// The value in `record`, when it is of this type.
    fn of(record: &Record) -> Option<&Arc<Self>>;
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

put!(
    Machine => Machine,
    BootConfig => Config,
    Activation => Activation,
    LeaseRecord => Lease,
    Declined => Declined,
    KeyRing => Ring,
    Stamp => Stamp,
);

macro_rules! kept {
    ($($value:ty => $record:ident),+ $(,)?) => {$(
        impl Kept for $value {
            fn of(record: &Record) -> Option<&Arc<Self>> {
                let Record::$record(value) = record else {
                    return None;
                };
                Some(value)
            }
        }
        put!($value => $record);
    )+};
}

// What is in a table of one type as well.
kept!(
    Reservation => Reservation,
    EnrolledKey => EnrolledKey,
    Pending => Pending,
    JoinToken => Token,
    FactsRecord => Facts,
    Member => Member,
    CommandRecord => Command,
    Webhook => Webhook,
    Delivery => Delivery,
    PowerSettings => Power,
    Image => Image,
    Deployment => Deployment,
    Rollout => Rollout,
    Setup => Setup,
    User => User,
    ApiToken => ApiToken,
    Password => Password,
    Session => Session,
    ProviderMember => ProviderMember,
    Peer => Peer,
    Invitation => Invitation,
    NamedMacs => NamedMacs,
    Outgoing => Outgoing,
    Answered => Answered,
);
