//! Numbers that name what there are many of: given out in order and not twice, and a type for each, so that none is taken for
//! another.

/// Types of such numbers.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

numbers! {
    /// An activation's number; later ones are larger.
    ActivationId;
    /// A command's number; later ones are larger.
    CommandId;
    /// A delivery's number; later ones are larger.
    DeliveryId;
    /// A deployment's number; later ones are larger. Also the stable id of what is told about it.
    DeploymentId;
    /// The number of an image's way here from another site; later ones are larger, and a restart begins anew.
    PullId;
    /// A rollout's number; later ones are larger.
    RolloutId;
}
