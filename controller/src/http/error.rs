//! What can go wrong in the API, as RFC 9457 problems: a stable code for programs, a sentence with the cure for people.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:ident, $title:literal;)+) => {
        /// Every kind of problem. The texts of codes never change; new ones may come.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $variant,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The code's stable text.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The HTTP status it comes with.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),+ }
            }

            /// What it means in a few words.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

codes! {
    /// A body, query or path that cannot be read.
    BadRequest = "bad-request", BAD_REQUEST, "The request cannot be understood";
    /// A value that is well-formed but not allowed.
    BadValue = "bad-value", UNPROCESSABLE_ENTITY, "A value is not allowed";
    /// Nobody the controller knows.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "The caller is not known";
    /// Known, but not allowed to.
    Forbidden = "forbidden", FORBIDDEN, "The caller may not do this";
    /// Asked too often.
    TooManyRequests = "too-many-requests", TOO_MANY_REQUESTS, "Too many requests";
    /// No such address.
    EndpointNotFound = "endpoint-not-found", NOT_FOUND, "No such endpoint";
    /// The address knows other methods.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "The endpoint has no such method";
    /// A body above its limit.
    BodyTooLarge = "body-too-large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// No machine of this name, id or MAC.
    MachineNotFound = "machine-not-found", NOT_FOUND, "No such machine";
    /// Another machine has the name.
    NameTaken = "name-taken", CONFLICT, "The name is taken";
    /// A multicast, broadcast or zero address.
    MacNotAStation = "mac-not-a-station", UNPROCESSABLE_ENTITY, "The MAC address is no network card's";
    /// The machine is only seen.
    MachineNotRegistered = "machine-not-registered", CONFLICT, "The machine is not registered";
    /// No boot config of this name.
    ConfigNotFound = "boot-config-not-found", NOT_FOUND, "No such boot config";
    /// Activations hold the config.
    ConfigInUse = "boot-config-in-use", CONFLICT, "The boot config is in use";
    /// The config cannot work as it is written.
    ConfigInvalid = "boot-config-invalid", UNPROCESSABLE_ENTITY, "The boot config cannot work";
    /// No activation of this number.
    ActivationNotFound = "activation-not-found", NOT_FOUND, "No such activation";
    /// The machine has another activation that is open.
    AlreadyActive = "already-active", CONFLICT, "Another boot config is active";
    /// The machine has nothing of the kind.
    NotActive = "not-active", CONFLICT, "Nothing is active";
    /// Its evidence would never be seen.
    NoEvidence = "no-evidence", CONFLICT, "The boot config cannot have this evidence";
    /// A disk-writing config cannot be standing.
    WritesDisk = "writes-disk", CONFLICT, "The boot config writes to a disk";
    /// No machine has the labels.
    NobodySelected = "nobody-selected", CONFLICT, "No registered machine is selected";
    /// Files of the config are not here.
    FilesMissing = "files-missing", CONFLICT, "Files of the boot config are not here";
    /// No file of this SHA-256.
    FileNotFound = "file-not-found", NOT_FOUND, "No such file";
    /// Boot configs or activations name the file.
    FileInUse = "file-in-use", CONFLICT, "The file is in use";
    /// The uploaded bytes are others than announced.
    FileMismatch = "file-mismatch", UNPROCESSABLE_ENTITY, "The bytes are not those announced";
    /// The upload ended early.
    UploadBroken = "upload-broken", BAD_REQUEST, "The upload ended early";
    /// No room on the controller's disk.
    StorageFull = "storage-full", INSUFFICIENT_STORAGE, "The controller's disk is full";
    /// No reservation for this MAC.
    ReservationNotFound = "reservation-not-found", NOT_FOUND, "No such reservation";
    /// The address is reserved for another station.
    AddressTaken = "address-taken", CONFLICT, "The address is taken";
    /// No mesh on this controller.
    MeshOff = "mesh-off", CONFLICT, "The mesh is off";
    /// No member of this name or id.
    MemberNotFound = "member-not-found", NOT_FOUND, "No such member";
    /// The configuration names no such provider.
    ProviderNotFound = "provider-not-found", NOT_FOUND, "No such provider";
    /// Its agent's link does not speak.
    MemberNotAlive = "member-not-alive", CONFLICT, "The machine's agent does not answer";
    /// Only a provider knows the machine, and it has no such means.
    ProviderCannot = "provider-cannot", CONFLICT, "The machine's provider cannot do this";
    /// Nobody accepted the machine.
    MachineNotAccepted = "machine-not-accepted", CONFLICT, "The machine is not accepted";
    /// Two claims to be one machine.
    MachineDisputed = "machine-disputed", CONFLICT, "Two claim to be the machine";
    /// Somebody else has the machine for a while.
    MachineReserved = "machine-reserved", CONFLICT, "The machine is reserved for somebody else";
    /// Somebody else owns it.
    NotYours = "not-yours", FORBIDDEN, "It belongs to somebody else";
    /// Nobody of this name is written down.
    UserNotFound = "user-not-found", NOT_FOUND, "No such user";
    /// Too many users.
    UsersFull = "users-full", CONFLICT, "Too many users";
    /// No API token of this name.
    TokenNotFound = "token-not-found", NOT_FOUND, "No such API token";
    /// Too many API tokens are good.
    TokensFull = "tokens-full", CONFLICT, "Too many API tokens";
    /// A token may not be made so.
    TokenRefused = "token-refused", FORBIDDEN, "The API token may not be made";
    /// Name and password do not fit.
    SignInRefused = "sign-in-refused", UNAUTHORIZED, "The name or the password is wrong";
    /// No session of this name, or none at all.
    SessionNotFound = "session-not-found", NOT_FOUND, "No such session";
    /// There is no identity provider.
    OidcOff = "oidc-off", CONFLICT, "No identity provider is configured";
    /// Who comes back from the provider did not go there from here.
    OidcState = "oidc-state", BAD_REQUEST, "The sign-in was not begun in this browser";
    /// The identity provider does not answer, or not as it should.
    OidcAway = "oidc-away", BAD_GATEWAY, "The identity provider does not answer as it should";
    /// What it says does not hold.
    OidcUntrue = "oidc-untrue", BAD_GATEWAY, "What the identity provider says does not hold";
    /// It says no.
    OidcDenied = "oidc-denied", FORBIDDEN, "The identity provider let nobody in";
    /// Who signed in there may nothing here.
    OidcNoAccess = "oidc-no-access", FORBIDDEN, "Who signed in has no access here";
    /// Who signed in there has no name here, or that of somebody else.
    OidcName = "oidc-name", CONFLICT, "Who signed in cannot have the name here";
    /// A password may not be set so.
    PasswordRefused = "password-refused", FORBIDDEN, "The password may not be set";
    /// A page of somebody else asks with a cookie.
    CrossOrigin = "cross-origin", FORBIDDEN, "A page of another origin asks";
    /// No other site of this name.
    PeerNotFound = "peer-not-found", NOT_FOUND, "No such peer";
    /// Its name, its CA or its standing is in the way.
    PeerConflict = "peer-conflict", CONFLICT, "The other site cannot be a peer so";
    /// The other site was not reached, or said no.
    PeerRefused = "peer-refused", BAD_GATEWAY, "The other site did not agree";
    /// There is nothing to decide.
    NotDisputed = "not-disputed", CONFLICT, "Nobody else claims to be the machine";
    /// Its agent cannot answer for others.
    CannotHelp = "cannot-help", CONFLICT, "The agent cannot be a boot helper";
    /// The key was proved too weakly for this.
    LevelTooLow = "level-too-low", CONFLICT, "The machine's key is not proved well enough";
    /// The machine's screen shows another code.
    PairingCodeWrong = "pairing-code-wrong", CONFLICT, "The pairing code is another one";
    /// Several keys wait for one machine.
    PairingCodeNeeded = "pairing-code-needed", CONFLICT, "The pairing code is needed";
    /// Too many commands are open.
    TooManyCommands = "too-many-commands", CONFLICT, "Too many commands are open";
    /// No command of this number.
    CommandNotFound = "command-not-found", NOT_FOUND, "No such command";
    /// The machine told nothing about itself.
    FactsNotFound = "facts-not-found", NOT_FOUND, "The machine has not told what it is made of";
    /// No log of this boot.
    BootNotFound = "boot-not-found", NOT_FOUND, "No log of this boot";
    /// No join token of this name.
    JoinTokenNotFound = "join-token-not-found", NOT_FOUND, "No such join token";
    /// Too many join tokens are good.
    JoinTokensFull = "join-tokens-full", CONFLICT, "Too many join tokens";
    /// No webhook of this name.
    WebhookNotFound = "webhook-not-found", NOT_FOUND, "No such webhook";
    /// Too many webhooks.
    WebhooksFull = "webhooks-full", CONFLICT, "Too many webhooks";
    /// No delivery of this number.
    DeliveryNotFound = "delivery-not-found", NOT_FOUND, "No such delivery";
    /// Nobody said who switches the machine.
    PowerSettingsNotFound = "power-settings-not-found", NOT_FOUND, "No power address is known";
    /// Nobody can switch the machine.
    NoPowerMeans = "no-power-means", CONFLICT, "Nobody can switch the machine";
    /// Who should switch the machine did not.
    PowerFailed = "power-failed", BAD_GATEWAY, "The machine was not switched";
    /// This controller keeps no images.
    ImagesOff = "images-off", CONFLICT, "No images are kept here";
    /// No image, or no version, of this name.
    ImageNotFound = "image-not-found", NOT_FOUND, "No such image";
    /// Somebody needs the image.
    ImageInUse = "image-in-use", CONFLICT, "The image is in use";
    /// What was sent is no image that can be written to a disk.
    ImageInvalid = "image-invalid", UNPROCESSABLE_ENTITY, "This is no image of a disk";
    /// The image has more bytes than are taken.
    ImageTooLarge = "image-too-large", PAYLOAD_TOO_LARGE, "The image is too large";
    /// The store of images holds as much as it may.
    ImageQuota = "image-quota", PAYLOAD_TOO_LARGE, "The quota of images is used up";
    /// The image has too many versions.
    TooManyVersions = "too-many-versions", CONFLICT, "The image has too many versions";
    /// A manifest names chunks that were not sent.
    ChunksMissing = "chunks-missing", CONFLICT, "Chunks of the image are missing";
    /// A chunk is not what it was called.
    ChunkMismatch = "chunk-mismatch", UNPROCESSABLE_ENTITY, "A chunk is not what it was called";
    /// No image of this number is on its way here.
    PullNotFound = "pull-not-found", NOT_FOUND, "No such pull";
    /// Bytes of an image are no longer what was written.
    ImageDamaged = "image-damaged", INTERNAL_SERVER_ERROR, "The image is damaged on the controller's disk";
    /// Too many uploads at once.
    TooManyUploads = "too-many-uploads", SERVICE_UNAVAILABLE, "Too many uploads at once";
    /// Outside the image.
    RangeNotSatisfiable = "range-not-satisfiable", RANGE_NOT_SATISFIABLE, "The range is outside the image";
    /// No deployment of this number.
    DeploymentNotFound = "deployment-not-found", NOT_FOUND, "No such deployment";
    /// The deployment's end has come.
    DeploymentOver = "deployment-over", CONFLICT, "The deployment is over";
    /// The deployment does not wait any more.
    DeploymentNotWaiting = "deployment-not-waiting", CONFLICT, "The deployment does not wait any more";
    /// What is asked for cannot be done to any disk.
    OrderInvalid = "order-invalid", UNPROCESSABLE_ENTITY, "The order cannot be carried out";
    /// The machine's disks are not what the order needs.
    DiskUnfit = "disk-unfit", UNPROCESSABLE_ENTITY, "No disk of the machine fits";
    /// Too many deployments wait for the machine.
    TooManyDeployments = "too-many-deployments", CONFLICT, "Too many deployments wait";
    /// The idempotency key was used for something else.
    KeyReused = "idempotency-key-reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for something else";
    /// No machine, or too many, are meant.
    SelectorUnfit = "selector-unfit", UNPROCESSABLE_ENTITY, "The selector means no machine, or too many";
    /// No rollout of this number.
    RolloutNotFound = "rollout-not-found", NOT_FOUND, "No such rollout";
    /// No job of the rollout is left.
    RolloutOver = "rollout-over", CONFLICT, "The rollout is over";
    /// No setup of this name.
    SetupNotFound = "setup-not-found", NOT_FOUND, "No such setup";
    /// The setup cannot work.
    SetupInvalid = "setup-invalid", UNPROCESSABLE_ENTITY, "The setup cannot work";
    /// It was changed since the caller read it.
    PreconditionFailed = "precondition-failed", PRECONDITION_FAILED, "It is not what the caller has read";
    /// The store did not commit.
    StoreUnavailable = "store-unavailable", SERVICE_UNAVAILABLE, "The store cannot write";
    /// A fault of ours.
    Internal = "internal", INTERNAL_SERVER_ERROR, "The controller failed";
}

/// A problem: what kind, and the sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// What kind.
    pub code: Code,
    /// What happened and what cures it, for a person.
    pub detail: String,
}

/// A problem as JSON (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDoc {
    /// `urn:enforcer:problem:` and the code.
    pub r#type: String,
    /// What it means in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened and what cures it.
    pub detail: String,
    /// Stable; programs decide by this.
    pub code: String,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    /// Its JSON form.
    #[must_use]
    pub fn doc(&self) -> ProblemDoc {
        ProblemDoc {
            r#type: format!("urn:enforcer:problem:{}", self.code.text()),
            title: self.code.title().to_owned(),
            status: self.code.status().as_u16(),
            detail: self.detail.clone(),
            code: self.code.text().to_owned(),
        }
    }
}

/// The detail of the problem that an answer is.
#[derive(Debug, Clone)]
pub(super) struct Why(pub(super) String);

/// A stranger's text, cut for a sentence.
pub(crate) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // A map of strings and a number always becomes JSON.
        let body = serde_json::to_vec(&self.doc()).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.code.status();
        // Who counts refusals, and who writes them down, reads it from there.
        response.extensions_mut().insert(self.code);
        response.extensions_mut().insert(Why(self.detail));
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_plain() {
        let texts: BTreeSet<&str> = Code::ALL.iter().map(|c| c.text()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for text in texts {
            assert!(
                text.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{text}"
            );
        }
    }

    #[test]
    fn every_problem_is_an_error_to_http() {
        for code in Code::ALL {
            let status = code.status();
            assert!(
                status.is_client_error() || status.is_server_error(),
                "{code:?}"
            );
        }
    }

    /// `docs/API-PROBLEMS.md` is what programs are written by.
    #[test]
    fn the_documented_table_is_this_one() {
        let rows: String = Code::ALL
            .iter()
            .map(|c| {
                format!(
                    "| `{}` | {} | {} |\n",
                    c.text(),
                    c.status().as_u16(),
                    c.title()
                )
            })
            .collect();
        let documented = include_str!("../../../docs/API-PROBLEMS.md");
        assert!(
            documented.contains(&rows),
            "docs/API-PROBLEMS.md must hold:\n{rows}"
        );
    }
}
