//! Names that people give: one rule for all of them, and a type for each, so that none is taken for another. And what they
//! share with every other checked text.

/// Whether a text is safe as a file or config name: also as an iPXE image name and a URL path segment.
#[must_use]
pub fn is_plain_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' cannot be a name; use 1 to 63 letters, digits, '-', '_' and '.', starting with a letter or digit"
)]
pub struct BadPlainName(pub String);

/// A value that is a text in JSON and in the store: read as people write it (`FromStr`), written as it is shown (`Display`).
/// For `#[serde(try_from = "String", into = "String")]`.
macro_rules! as_text {
    ($name:ty: $bad:ty) => {
        impl TryFrom<String> for $name {
            type Error = $bad;

            fn try_from(text: String) -> Result<Self, $bad> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

pub(crate) use as_text;

/// Types of names, each a text that its rule lets in.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $rule:path, $bad:path;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $bad;

            fn from_str(text: &str) -> Result<Self, $bad> {
                if $rule(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err($bad(text.chars().take(80).collect()))
                }
            }
        }

        $crate::state::name::as_text! { $name: $bad }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

pub(crate) use names;

names! {
    /// A boot config's name: 1 to 63 letters, digits, `-`, `_` and `.`.
    ConfigName: is_plain_name, BadPlainName;
    /// An image's name: 1 to 63 letters, digits, `-`, `_` and `.`.
    ImageName: is_plain_name, BadPlainName;
    /// A setup's name: 1 to 63 letters, digits, `-`, `_` and `.`.
    SetupName: is_plain_name, BadPlainName;
    /// A subscription's name: 1 to 63 letters, digits, `-`, `_` and `.`.
    HookName: is_plain_name, BadPlainName;
    /// A label's name or its value: 1 to 63 letters, digits, `-`, `_` and `.`.
    LabelText: is_plain_name, BadPlainName;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_in_every_place_it_is_written_to() {
        for good in ["a", "7", "a.b-c_d", &"x".repeat(63)] {
            let name: ImageName = good.parse().unwrap();
            assert_eq!(String::from(name), good);
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", "a\n", &"x".repeat(64)] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad:?}");
            let json = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<ImageName>(&json).is_err(), "{bad:?}");
        }
    }
}
