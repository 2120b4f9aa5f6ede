//! The transitions: every change Enforcer makes to what it knows, a file per subject.

mod acceptance;
mod activations;
mod api_tokens;
mod boot;
mod commands;
mod configs;
mod deactivations;
mod deployments;
mod enrol;
mod evidence;
mod facts;
mod given;
mod helpers;
mod holds;
mod identities;
mod images;
mod job_ends;
mod job_reports;
mod jobs;
mod keys;
mod lend;
mod machines;
mod members;
mod once;
mod online;
mod orders;
mod passwords;
mod peer_moves;
mod peers;
mod pending;
mod power;
mod providers;
mod pulled;
mod queries;
mod reservations;
mod ring;
mod rollouts;
mod sessions;
mod setups;
mod switching;
mod taken;
mod tokens;
mod unchanged;
mod users;
mod webhooks;

pub use acceptance::{
    AcceptError, AcceptMachine, Accepted, Keep, RefuseMachine, Refused, ResolveDispute,
};
pub use activations::{Activate, ActivateError, ActivateSelected, ForMachine};
pub use api_tokens::{ApiTokenError, CreateApiToken, NoteTokenUse, RevokeApiToken, TokenMaker};
pub use boot::{BeginFetch, ClaimBoot, FetchAnswer, FileSent};
pub use commands::{CommandError, CommandWord, Giver, IssueCommand, Settle, given_before};
pub use configs::{ConfigError, DeleteConfig, FileFetched, Refetch, SetConfig};
pub use deactivations::{Deactivate, DeactivateSelected, ExpireOverdue};
pub use deployments::{CancelDeployment, CreateDeployment, Created, DeployError, MoveDeployment};
pub use enrol::{Claim, Enrol, EnrolOutcome, Grant};
pub use evidence::{Callback, CallbackAnswer, ReportBoot};
pub use facts::RecordFacts;
pub use given::{GrantBoot, TakeEvidence, granted_file, macs_for, offered};
pub use helpers::{HelperError, SetHelper};
pub use holds::{Held, HoldError, MAX_HOLD, OnMachine, ReleaseMachine, ReserveMachine, may_use};
pub use identities::{IdentityError, SignInByOidc};
pub use images::{
    DeleteImage, DeleteVersion, ImageError, SaveCapture, SaveVersion, SetImage, used_by,
};
pub use job_reports::{EndJob, ReportStep, still_wanted};
pub use jobs::{ClaimJob, FreshJoin, JobAnswer};
pub use keys::{ConfirmClock, RenewKey, RevokeKeys};
pub use lend::{ActivateLent, Delegate, HeardBy, TakeServed};
pub use machines::{
    DeleteMachine, InspectMachine, MachineError, MachineRef, NewOwner, RegisterMachine, Saw,
    UpdateMachine,
};
pub use members::{LinkOpened, LinkVerdict, OpenLink, SettleAfterStart};
pub use once::{KeyReused, Makes, Once, OnceMade};
pub use online::{
    Evidence as OnlineEvidence, PassDeadlines, PhoneHome, ProbeAnswered, deadline_passed,
};
pub use orders::{ONLINE_WITHIN_S, OrderError, OrderSpec};
pub use passwords::{ClearPassword, PasswordError, PasswordSetter, SetPassword};
pub use peer_moves::MovePeer;
pub use peers::{
    AdmitPeer, AllowPeer, Invite, JoinPeer, PeerError, RevokePeer, SiteCard, TakeMacs,
};
pub use pending::Withdraw;
pub use power::{AskPower, SetPower, TellPower};
pub use providers::{
    ForgetProviders, HearProvider, KeepListed, ProviderBack, ProviderSilent, Taken,
};
pub use pulled::SavePulled;
pub use queries::{IssueQuery, speaks_by_provider};
pub use reservations::{DeleteReservation, ReservationError, SetReservation};
pub use ring::{DropRetired, RotateRing, UseRing};
pub use rollouts::{
    CancelRollout, CreateRollout, PauseRollout, ResumeRollout, RolledOut, RolloutError, SetRollout,
};
pub use sessions::{EndSession, NewSession, NoteSessionUse, SessionError, SignIn};
pub use setups::{DeleteSetup, DeploySetup, OnSetup, SetSetup, SetupError};
pub use switching::{SwitchOn, SwitchRefused};
pub use taken::{TakeGrant, Told};
pub use tokens::{CreateToken, MAX_TOKEN_LIFE, RevokeToken, TokenError};
pub use unchanged::{Changed, Expected, Unchanged};
pub use users::{CreateUser, DeleteUser, NotYours, OnImage, SetUser, UserError, may_change_image};
pub use webhooks::{
    CreateWebhook, DeleteWebhook, QueueDeliveries, Replay, SettleDelivery, TestWebhook,
    WebhookError, Word, anything_to_queue,
};

#[cfg(test)]
mod tests;
