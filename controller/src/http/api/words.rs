//! The closed sets of words in documents. They mirror the state's enums, so that a change inside does not silently become
//! a change of the API: a new variant does not compile before it has a word here.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use mesh_proto::{
    message::{enrol, job, link},
    wan,
};

use crate::{
    providers::HealthState,
    state::{
        activation, api_token, command, config, deployment, image, machine, member, peer, preset,
        provider, rollout, trust::token, user,
    },
};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident mirrors $source:path { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $($(#[$vdoc])* $variant),+
        }

        impl $name {
            /// The word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl From<$source> for $name {
            fn from(value: $source) -> Self {
                use $source as Source;
                match value { $(Source::$variant => Self::$variant),+ }
            }
        }

        impl From<$name> for $source {
            fn from(value: $name) -> Self {
                use $source as Source;
                match value { $($name::$variant => Source::$variant),+ }
            }
        }
    )+};
}

words! {
    /// How far we trust that a machine is ours.
    Standing mirrors machine::Standing {
        /// It asked on the network; nobody said that it is ours.
        Seen = "seen",
        /// A person registered its MAC.
        Registered = "registered",
        /// One of its keys was taken: something may be written to its disk.
        Accepted = "accepted",
    }
    /// How well a key was proved.
    Level mirrors enrol::Level {
        /// By the secret of its boot, which others on the segment could read.
        T1 = "t1",
        /// By a join token, or by a person who compared the pairing code.
        T2 = "t2",
    }
    /// The kinds of key.
    KeyKind mirrors enrol::KeyKind {
        /// For one boot of the management OS.
        Boot = "boot",
        /// For an installed OS.
        Installed = "installed",
    }
    /// What an agent runs in.
    Habitat mirrors link::Habitat {
        /// The management OS.
        ManagementOs = "management-os",
        /// An installed operating system.
        InstalledOs = "installed-os",
    }
    /// The controller's verdict on a member.
    MemberState mirrors member::MemberState {
        /// Its link speaks.
        Alive = "alive",
        /// Its link is silent, or closed without a word.
        Unreachable = "unreachable",
        /// It stayed silent.
        Down = "down",
        /// It said goodbye.
        Left = "left",
    }
    /// Where a command stands.
    CommandStage mirrors command::CommandStage {
        /// Written down.
        Issued = "issued",
        /// On its way.
        Sent = "sent",
        /// Done, or for a reboot about to be.
        Done = "done",
        /// It was tried and went wrong.
        Failed = "failed",
        /// The agent would not.
        Refused = "refused",
        /// Nobody took it in time.
        Expired = "expired",
        /// Nobody will hear how it went.
        Lost = "lost",
    }
    /// Where a join token stands.
    TokenState mirrors token::TokenState {
        /// It can be used.
        Good = "good",
        /// It was used.
        Used = "used",
        /// It is too old.
        Expired = "expired",
        /// A person took it back.
        Revoked = "revoked",
    }
    /// Whether another site counts.
    PeerState mirrors peer::PeerState {
        /// Both sides hold each other's CA.
        Joined = "joined",
        /// A person ended it.
        Revoked = "revoked",
    }
    /// Whether a joined site is there.
    Presence mirrors wan::Presence {
        /// Nobody has heard of it since this controller started.
        Unknown = "unknown",
        /// A link with it stands.
        Alive = "alive",
        /// No link with it stands; it lives as far as its peers can tell.
        Unreachable = "unreachable",
        /// None of its peers reaches it.
        Down = "down",
    }
    /// How a machine is sent to its own disk.
    LocalBoot mirrors ipxe::LocalBoot {
        /// What is measured best for its firmware.
        Auto = "auto",
        /// `sanboot` of the first BIOS disk.
        Sanboot = "sanboot",
        /// iPXE's `exit`.
        Exit = "exit",
        /// iPXE's `exit 1`.
        ExitFailure = "exit-failure",
        /// The loader that searches every disk (UEFI).
        Localboot = "localboot",
    }
    /// What closes a one-shot activation.
    Evidence mirrors config::Evidence {
        /// Every file that the script names was sent whole.
        Fetched = "fetched",
        /// The booted system called back.
        Callback = "callback",
        /// The agent in the booted system reported over its link.
        Agent = "agent",
    }
    /// The systems that there are presets for.
    Os mirrors preset::Os {
        /// Debian's installer, by preseed.
        Debian = "debian",
        /// Ubuntu Server's installer, by autoinstall.
        Ubuntu = "ubuntu",
        /// Alpine's live system, which installs itself by its answer file.
        Alpine = "alpine",
        /// Fedora's installer and those of its family, by kickstart.
        Fedora = "fedora",
        /// Flatcar Container Linux in memory, by Ignition.
        Flatcar = "flatcar",
        /// A kernel and initrds of one's own.
        Custom = "custom",
    }
    /// The processors that presets know the files of.
    PresetArch mirrors preset::PresetArch {
        /// 64-bit x86.
        Amd64 = "amd64",
        /// 64-bit ARM.
        Arm64 = "arm64",
    }
    /// Whether an activation ends with its first success.
    Kind mirrors activation::Kind {
        /// Spent once evidence closed it.
        OneShot = "one-shot",
        /// Served on every boot until a person ends it.
        Standing = "standing",
    }
    /// Which machines may have an image.
    Visibility mirrors image::Visibility {
        /// Every accepted machine.
        Public = "public",
        /// Machines whose key was well proved (T2): it may hold secrets.
        Private = "private",
    }
    /// Where a deployment stands.
    DeploymentState mirrors deployment::State {
        /// Waits for its turn, or for its machine.
        Queued = "queued",
        /// The management OS was served for it, or its agent took it.
        Served = "served",
        /// The disk is read and saved.
        Capturing = "capturing",
        /// The disk is emptied.
        Erasing = "erasing",
        /// The disk is compared with the image.
        Fetching = "fetching",
        /// What differs is fetched and written.
        Writing = "writing",
        /// What was written is read back from the medium.
        Verifying = "verifying",
        /// The partition table and files for the new system are written.
        Editing = "editing",
        /// All is on the disk and was read back.
        Written = "written",
        /// The machine starts again, into the disk.
        Rebooting = "rebooting",
        /// The disk was started; nobody spoke yet.
        HandedOver = "handed-over",
        /// Over: the new system spoke.
        Online = "online",
        /// Over: done, and nothing to be started.
        Done = "done",
        /// Over: see the reason.
        Failed = "failed",
        /// Over: a person ended it.
        Cancelled = "cancelled",
    }
    /// Where a rollout stands.
    RolloutStage mirrors rollout::Stage {
        /// Jobs are at work, or the next one begins.
        Running = "running",
        /// A person holds it: what is at work goes on, nothing begins.
        Paused = "paused",
        /// Too many failed: what is at work goes on, nothing begins.
        Stopped = "stopped",
        /// No job is left.
        Over = "over",
    }
    /// What a person may do; each role may do what the ones before it may.
    Role mirrors user::Role {
        /// Look.
        Viewer = "viewer",
        /// Make machines boot things.
        Operator = "operator",
        /// Everything.
        Admin = "admin",
    }
    /// What an agent does with a disk.
    Step mirrors job::Step {
        /// Reads it and saves it.
        Capturing = "capturing",
        /// Empties it.
        Erasing = "erasing",
        /// Compares it with the image.
        Fetching = "fetching",
        /// Fetches and writes what differs.
        Writing = "writing",
        /// Reads it back.
        Verifying = "verifying",
        /// Edits the partition table, writes files for the new system.
        Editing = "editing",
    }
    /// Where an API token stands.
    TokenStanding mirrors api_token::TokenStanding {
        /// It can be used.
        Good = "good",
        /// It is too old.
        Expired = "expired",
        /// A person took it back.
        Revoked = "revoked",
        /// Whose it is was disabled.
        NoUser = "no-user",
    }
    /// How a disk is emptied.
    Erase mirrors job::Erase {
        /// Every block is given back to the disk, then it is looked whether it reads as zeros; else zeros are written.
        Discard = "discard",
        /// The disk's own sanitize or secure erase.
        Sanitize = "sanitize",
        /// Zeros over everything.
        Zero = "zero",
    }
    /// What a machine does when its disk is written.
    After mirrors job::After {
        /// Restarts through the firmware, into the disk.
        Reboot = "reboot",
        /// Starts the written kernel at once, without the firmware.
        Kexec = "kexec",
        /// Switches off.
        PowerOff = "power-off",
        /// Stays in the management OS.
        Stay = "stay",
    }
    /// Which cluster's agents a provider knows.
    ProviderKind mirrors provider::ProviderKind {
        /// HashiCorp Serf, over its RPC.
        Serf = "serf",
        /// HashiCorp Consul, over its HTTP API.
        Consul = "consul",
    }
    /// Whether a provider answers.
    ProviderState mirrors HealthState {
        /// It has not answered yet since the controller started.
        Starting = "starting",
        /// Its members are as it says.
        Answering = "answering",
        /// It failed and is asked again in a moment; its members still count as it said last.
        Failing = "failing",
        /// It failed again and again: its members count as not heard of.
        Silent = "silent",
    }
    /// Whether a machine is started for a deployment.
    When mirrors deployment::When {
        /// As soon as it is its turn.
        Now = "now",
        /// It waits until the machine starts by itself.
        NextBoot = "next-boot",
    }
    /// Where an activation stands.
    Stage mirrors activation::Stage {
        /// Waits for the machine to ask.
        Armed = "armed",
        /// Its script went out.
        Served = "served",
        /// All its boot files went out.
        Running = "running",
        /// Closed: it worked.
        Confirmed = "confirmed",
        /// Closed: it failed, or a cap was reached.
        Failed = "failed",
        /// Closed by a person or its time limit.
        Expired = "expired",
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    /// The words of `word()`, of JSON, of the command line and of the OpenAPI document are the same.
    fn check<T: ValueEnum + Serialize + ToSchema>(word: fn(T) -> &'static str) {
        let schema = serde_json::to_value(T::schema()).unwrap();
        let described = schema["enum"].as_array().unwrap();
        assert_eq!(described.len(), T::value_variants().len());
        for (value, described) in T::value_variants().iter().zip(described) {
            let argument = value.to_possible_value().unwrap();
            let json = serde_json::to_value(value).unwrap();
            assert_eq!(
                (&json, json.as_str()),
                (described, Some(argument.get_name()))
            );
            assert_eq!(json, word(value.clone()));
        }
    }

    #[test]
    fn a_word_is_the_same_wherever_it_is_said() {
        check(Standing::word);
        check(LocalBoot::word);
        check(Evidence::word);
        check(Kind::word);
        check(Os::word);
        check(PresetArch::word);
        check(Stage::word);
        check(Level::word);
        check(KeyKind::word);
        check(Habitat::word);
        check(MemberState::word);
        check(CommandStage::word);
        check(TokenState::word);
        check(PeerState::word);
        check(Presence::word);
        check(Visibility::word);
        check(DeploymentState::word);
        check(RolloutStage::word);
        check(Role::word);
        check(TokenStanding::word);
        check(Step::word);
        check(Erase::word);
        check(After::word);
        check(When::word);
        check(ProviderKind::word);
        check(ProviderState::word);
    }
}
