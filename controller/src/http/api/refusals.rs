//! What the state refuses, as problems.

mod people;

use crate::{
    assets::AssetError,
    federation::JoinError,
    http::error::{Code, Problem},
    images::ImagesError,
    power::PowerError,
    state::helper::CannotHelp,
    state::ops::{
        AcceptError, ActivateError, ConfigError, DeployError, Held, HelperError, HoldError,
        ImageError, MachineError, OrderError, PeerError, ReservationError, RolloutError,
        SetupError, TokenError, WebhookError,
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
            MachineError::NotYours(refused) => return refused.into(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<Held> for Problem {
    fn from(held: Held) -> Self {
        Self::new(Code::MachineReserved, held.to_string())
    }
}

impl From<HoldError> for Problem {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Machine(error) => error.into(),
            HoldError::Held(held) => held.into(),
            HoldError::Until => Self::new(Code::BadValue, error.to_string()),
        }
    }
}

impl From<PeerError> for Problem {
    fn from(error: PeerError) -> Self {
        let code = match error {
            PeerError::NotFound(_) => Code::PeerNotFound,
            PeerError::Revoked(_)
            | PeerError::OurName(_)
            | PeerError::OtherCa(_)
            | PeerError::Full
            | PeerError::TooManyInvitations => Code::PeerConflict,
            PeerError::BadInvitation
            | PeerError::Expired
            | PeerError::Used
            | PeerError::TooManySelectors
            | PeerError::Addresses => Code::BadValue,
        };
        Self::new(code, error.to_string())
    }
}

impl From<JoinError> for Problem {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Peer(error) => error.into(),
            JoinError::Store(error) => error.into(),
            JoinError::Link { .. } | JoinError::Refused { .. } | JoinError::OtherSite => {
                Self::new(Code::PeerRefused, error.to_string())
            }
        }
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
            ActivateError::Held(held) => return held.into(),
            ActivateError::NoMachine(_) => Code::MachineNotFound,
            ActivateError::NoConfig(_) => Code::ConfigNotFound,
            ActivateError::NotRegistered(..) => Code::MachineNotRegistered,
            ActivateError::AlreadyActive { .. } => Code::AlreadyActive,
            ActivateError::NoEvidence(_) | ActivateError::TooEarly(_) => Code::NoEvidence,
            ActivateError::WritesDisk(_) => Code::WritesDisk,
            ActivateError::NobodySelected(_) => Code::NobodySelected,
            ActivateError::TooManySelected => Code::StoreUnavailable,
            ActivateError::FilesMissing(..) => Code::FilesMissing,
            ActivateError::CannotLend(..) => Code::CannotHelp,
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

impl From<HelperError> for Problem {
    fn from(error: HelperError) -> Self {
        let code = match &error {
            HelperError::Machine(error) => return error.clone().into(),
            HelperError::Interfaces => Code::BadValue,
            HelperError::Cannot(why) => match why {
                CannotHelp::NotAccepted(_) => Code::MachineNotAccepted,
                CannotHelp::Disputed(_) => Code::MachineDisputed,
                CannotHelp::NoMember(_) => Code::MemberNotFound,
                CannotHelp::LevelTooLow(_) => Code::LevelTooLow,
                CannotHelp::Management(_) | CannotHelp::Leaf(_) | CannotHelp::TooOld(_) => {
                    Code::CannotHelp
                }
            },
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

impl From<ImageError> for Problem {
    fn from(error: ImageError) -> Self {
        let code = match error {
            ImageError::NotFound(_) | ImageError::NoVersion(_) => Code::ImageNotFound,
            ImageError::InUse { .. } => Code::ImageInUse,
            ImageError::TooManyVersions(_) => Code::TooManyVersions,
        };
        Self::new(code, error.to_string())
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        let code = match error {
            OrderError::NoImage(_) | OrderError::NoVersion(_) => Code::ImageNotFound,
            OrderError::Disk { .. } | OrderError::TooLargeToSave { .. } => Code::DiskUnfit,
            OrderError::Nothing
            | OrderError::NothingSaved
            | OrderError::NeverKnown
            | OrderError::NobodyJoins
            | OrderError::OnlyImage
            | OrderError::NoImageFor(_)
            | OrderError::Provision(_)
            | OrderError::Within => Code::OrderInvalid,
        };
        Self::new(code, error.to_string())
    }
}

impl From<DeployError> for Problem {
    fn from(error: DeployError) -> Self {
        let code = match error {
            DeployError::Order(error) => return error.into(),
            DeployError::Held(held) => return held.into(),
            DeployError::NoMachine(_) => Code::MachineNotFound,
            DeployError::TooMany(_) => Code::TooManyDeployments,
            DeployError::NotFound(_) => Code::DeploymentNotFound,
            DeployError::NotWaiting(..) => Code::DeploymentNotWaiting,
            DeployError::Over(..) => Code::DeploymentOver,
            DeployError::NoSetup(_) => Code::SetupNotFound,
            DeployError::SameDisk(_) => Code::DiskUnfit,
        };
        Self::new(code, error.to_string())
    }
}

impl From<RolloutError> for Problem {
    fn from(error: RolloutError) -> Self {
        let code = match error {
            RolloutError::Deploy(error) => return error.into(),
            RolloutError::NoneFits(_) | RolloutError::TooManyMachines(_) => Code::SelectorUnfit,
            RolloutError::NoLimit | RolloutError::NoFailures => Code::BadValue,
            RolloutError::NotFound(_) => Code::RolloutNotFound,
            RolloutError::Over(_) => Code::RolloutOver,
        };
        Self::new(code, error.to_string())
    }
}

impl From<SetupError> for Problem {
    fn from(error: SetupError) -> Self {
        let code = match error {
            SetupError::Image(error) => return error.into(),
            SetupError::NotFound(_) => Code::SetupNotFound,
            SetupError::Items | SetupError::SameDisk(..) => Code::SetupInvalid,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ImagesError> for Problem {
    fn from(error: ImagesError) -> Self {
        Self::from(&error)
    }
}

impl From<&ImagesError> for Problem {
    fn from(error: &ImagesError) -> Self {
        let code = match error {
            ImagesError::Store(error) => stored(error),
            ImagesError::Ingest(error) => ingested(error),
            ImagesError::Broken(_) => Code::UploadBroken,
            ImagesError::Manifest => Code::ImageInvalid,
            ImagesError::Busy => Code::TooManyUploads,
            ImagesError::Stopping => Code::StoreUnavailable,
            ImagesError::Stopped => Code::Internal,
        };
        if code.status().is_server_error() {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the image store fails"
            );
        }
        Self::new(code, error.to_string())
    }
}

fn stored(error: &image_store::StoreError) -> Code {
    use image_store::StoreError as Error;
    match error {
        Error::Full { .. } => Code::StorageFull,
        Error::Quota { .. } => Code::ImageQuota,
        Error::WrongChunk { .. } | Error::Unpack(_) => Code::ChunkMismatch,
        Error::Damaged(_) | Error::DamagedManifest(_) | Error::NoManifest(_) => Code::ImageDamaged,
        Error::Missing { .. } => Code::ChunksMissing,
        Error::LyingManifest { .. } | Error::Manifest(_) => Code::ImageInvalid,
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            Code::StorageFull
        }
        Error::Io { .. } => Code::Internal,
    }
}

fn ingested(error: &image_store::IngestError) -> Code {
    use image_store::IngestError as Error;
    match error {
        Error::Store(error) => stored(error),
        Error::TooLarge { .. } => Code::ImageTooLarge,
        Error::Empty
        | Error::Foreign(_)
        | Error::NotAsSaid { .. }
        | Error::Truncated(_)
        | Error::Corrupt { .. }
        | Error::Trailing(_)
        | Error::Window(_)
        | Error::Size { .. }
        | Error::SectorSize { .. }
        | Error::Manifest(_) => Code::ImageInvalid,
        Error::Thread(_) | Error::Ended => Code::Internal,
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
