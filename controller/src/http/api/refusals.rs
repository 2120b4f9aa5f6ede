//! What the state refuses, as problems.

use crate::{
    assets::AssetError,
    http::error::{Code, Problem},
    power::PowerError,
    state::ops::{
        AcceptError, ActivateError, CommandError, ConfigError, MachineError, ReservationError,
        TokenError, WebhookError,
    },
    store::StoreError,
};

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Backend(_) | StoreError::Contended | StoreError::Closed => {
                Code::StoreUnavailable
            }
            StoreError::Panicked => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<MachineError> for Problem {
    fn from(error: MachineError) -> Self {
        let code = match error {
            MachineError::NotFound(_) => Code::MachineNotFound,
            MachineError::NameTaken(_) => Code::NameTaken,
            MachineError::NotAStation(_) => Code::MacNotAStation,
            MachineError::TooManyLabels => Code::BadValue,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        let code = match error {
            ConfigError::NotFound(_) => Code::ConfigNotFound,
            ConfigError::Invalid(_) => Code::ConfigInvalid,
            ConfigError::InUse(..) => Code::ConfigInUse,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ActivateError> for Problem {
    fn from(error: ActivateError) -> Self {
        let code = match error {
            ActivateError::NoMachine(_) => Code::MachineNotFound,
            ActivateError::NoConfig(_) => Code::ConfigNotFound,
            ActivateError::NotRegistered(..) => Code::MachineNotRegistered,
            ActivateError::AlreadyActive { .. } => Code::AlreadyActive,
            ActivateError::NoEvidence(_) | ActivateError::TooEarly(_) => Code::NoEvidence,
            ActivateError::NotActive(_) => Code::NotActive,
        };
        Self::new(code, error.to_string())
    }
}

impl From<AcceptError> for Problem {
    fn from(error: AcceptError) -> Self {
        let code = match error {
            AcceptError::NotFound(_) => Code::MachineNotFound,
            AcceptError::Disputed(_) => Code::MachineDisputed,
            AcceptError::WrongCode(_) => Code::PairingCodeWrong,
            AcceptError::Several(..) => Code::PairingCodeNeeded,
            AcceptError::NotDisputed(_) => Code::NotDisputed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let code = match error {
            CommandError::NoMachine(_) => Code::MachineNotFound,
            CommandError::NoMember(_) => Code::MemberNotFound,
            CommandError::NotAlive { .. } => Code::MemberNotAlive,
            CommandError::NotAccepted(_) => Code::MachineNotAccepted,
            CommandError::Disputed(_) => Code::MachineDisputed,
            CommandError::LevelTooLow(..) => Code::LevelTooLow,
            CommandError::TooMany(_) => Code::TooManyCommands,
        };
        Self::new(code, error.to_string())
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let code = match error {
            TokenError::Machine(error) => return error.into(),
            TokenError::NotFound(_) => Code::JoinTokenNotFound,
            TokenError::Life => Code::BadValue,
            TokenError::Full => Code::JoinTokensFull,
        };
        Self::new(code, error.to_string())
    }
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        let code = match error {
            WebhookError::Machine(error) => return error.into(),
            WebhookError::NotFound(_) => Code::WebhookNotFound,
            WebhookError::Taken(_) => Code::NameTaken,
            WebhookError::Full => Code::WebhooksFull,
            WebhookError::Kinds => Code::BadValue,
            WebhookError::NoDelivery(..) => Code::DeliveryNotFound,
        };
        Self::new(code, error.to_string())
    }
}

impl From<PowerError> for Problem {
    fn from(error: PowerError) -> Self {
        let code = match error {
            PowerError::NoMeans(_) => Code::NoPowerMeans,
            PowerError::NoTool(_)
            | PowerError::Board(_)
            | PowerError::NotSent
            | PowerError::Agent(_)
            | PowerError::Late => Code::PowerFailed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ReservationError> for Problem {
    fn from(error: ReservationError) -> Self {
        let code = match error {
            ReservationError::NotFound(_) => Code::ReservationNotFound,
            ReservationError::Taken(..) => Code::AddressTaken,
            ReservationError::NotAStation(_) => Code::MacNotAStation,
            ReservationError::Elsewhere(..)
            | ReservationError::NotAHost(_)
            | ReservationError::NotLendable(_)
            | ReservationError::BadHostname(_) => Code::BadValue,
        };
        Self::new(code, error.to_string())
    }
}

impl From<AssetError> for Problem {
    fn from(error: AssetError) -> Self {
        let (code, cure) = match &error {
            AssetError::Full { .. } => (
                Code::StorageFull,
                "; delete unused files (`enforcer files list --unused`) or give it more room",
            ),
            AssetError::TooLarge => (Code::BodyTooLarge, ""),
            AssetError::WrongSum { .. } => (
                Code::FileMismatch,
                "; the file changed while it was sent: send it again",
            ),
            AssetError::Io { source, .. } => {
                tracing::error!(%error, %source, "the asset folder fails");
                (Code::Internal, "; the controller's log has the cause")
            }
        };
        Self::new(code, format!("{error}{cure}"))
    }
}
