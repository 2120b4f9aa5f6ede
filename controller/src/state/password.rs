//! Passwords: which are taken, and what is kept of them.
//!
//! What people choose can be guessed, so each guess has to cost: Argon2id (RFC 9106), with a salt of its own for each password.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use mesh_proto::message::Secret;
use serde::{Deserialize, Serialize};

use super::{trust::Digest, user::UserName};

/// Shortest password, characters: what NIST SP 800-63B-4 §3.1.1.2 asks for where nothing else proves who one is.
pub const MIN_CHARACTERS: usize = 15;
/// Longest password, bytes. More is another text by mistake, and is hashed before its guess is refused.
pub const MAX_BYTES: usize = 1_024;
/// Different characters that a password has at least: against a key that was held down.
const MIN_DIFFERENT: usize = 5;

/// Why a password is not taken. It does not say the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPassword {
    /// Too few characters.
    #[error("a password has at least {MIN_CHARACTERS} characters: take some words")]
    Short,
    /// Too many bytes.
    #[error("a password has at most {MAX_BYTES} bytes")]
    Long,
    /// Line breaks and the like, which nobody types.
    #[error("a password has no control characters, such as line breaks")]
    Control,
    /// The same few characters again and again.
    #[error("the password says the same again and again: take some words")]
    Plain,
    /// It says whose it is.
    #[error("the password says the user's name: take other words")]
    Name,
}

/// Whether `text` may be the password of `user`.
///
/// # Errors
/// With what is wrong with it.
pub fn check_password(user: &UserName, text: &str) -> Result<(), BadPassword> {
    let mut different: Vec<char> = text.chars().collect();
    let characters = different.len();
    different.sort_unstable();
    different.dedup();
    // What is left when the name is taken out has to be long enough by itself.
    let name = user.as_str().to_lowercase();
    let rest = text.to_lowercase().replace(&name, "").chars().count();
    if text.len() > MAX_BYTES {
        Err(BadPassword::Long)
    } else if characters < MIN_CHARACTERS {
        Err(BadPassword::Short)
    } else if text.chars().any(char::is_control) {
        Err(BadPassword::Control)
    } else if different.len() < MIN_DIFFERENT {
        Err(BadPassword::Plain)
    } else if name.len() > 2 && rest < MIN_CHARACTERS / 2 {
        Err(BadPassword::Name)
    } else {
        Ok(())
    }
}

/// What one guess costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Parts of the memory that could be worked on at once.
    pub lanes: u32,
}

impl Cost {
    /// What the OWASP Password Storage Cheat Sheet names first for Argon2id: 19 MiB, two passes, one lane.
    pub const OWASP: Self = Self {
        memory_kib: 19 << 10,
        passes: 2,
        lanes: 1,
    };
}

/// A person's password as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    /// Whose.
    pub user: UserName,
    /// With what cost it was hashed; later ones may cost more.
    pub cost: Cost,
    /// 16 random bytes, hex digits.
    pub salt: String,
    /// 32 bytes of Argon2id, hex digits.
    pub hash: Secret,
}

impl Password {
    /// What is kept of `text`; `None` when there is no memory for its hash. Takes some hundredths of a second and 19 MiB.
    #[must_use]
    pub fn of(user: UserName, text: &str, salt: [u8; 16]) -> Option<Self> {
        let (cost, salt) = (Cost::OWASP, crate::hex::of(&salt));
        let hash = hash(text, &salt, cost)?;
        Some(Self {
            user,
            cost,
            hash: Secret::new(hash.to_string()),
            salt,
        })
    }

    /// One that nothing fits: by it a name that is not known costs as much as one that is.
    #[must_use]
    pub fn of_nobody(user: UserName) -> Self {
        Self {
            user,
            cost: Cost::OWASP,
            salt: "00".repeat(16),
            hash: Secret::new(""),
        }
    }

    /// Whether `text` is it. Takes as long as making it.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        let shown = hash(text, &self.salt, self.cost);
        let kept: Result<Digest, _> = self.hash.expose().parse();
        match (shown, kept) {
            (Some(shown), Ok(kept)) => shown.is(&kept),
            _ => false,
        }
    }
}

/// 32 bytes of Argon2id, version 1.3.
fn hash(text: &str, salt: &str, cost: Cost) -> Option<Digest> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).ok()?;
    let mut memory = Vec::new();
    memory.try_reserve_exact(params.block_count()).ok()?;
    memory.resize(params.block_count(), Block::default());
    let mut out = [0; 32];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let done =
        argon.hash_password_into_with_memory(text.as_bytes(), salt.as_bytes(), &mut out, memory);
    done.ok().map(|()| Digest(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "correct horse battery";

    fn ann() -> UserName {
        "ann".parse().unwrap()
    }

    /// As the reference implementation says: `echo -n 'correct horse battery' | argon2 07070707070707070707070707070707 -id -t 2
    /// -k 19456 -p 1 -l 32`.
    #[test]
    fn a_password_is_hashed_as_others_hash_it() {
        let kept = Password::of(ann(), TEXT, [7; 16]).unwrap();
        assert_eq!(kept.salt, "07".repeat(16));
        assert_eq!(
            kept.hash.expose(),
            "81bd06b62431bb3b94849f61fc429c67d967b31e19bedd1be71d65ad77dd11dd"
        );
    }

    #[test]
    fn only_the_same_text_is_the_password() {
        let kept = Password::of(ann(), TEXT, [7; 16]).unwrap();
        assert!(kept.is(TEXT));
        for other in ["", "correct horse batterx", "correct horse battery "] {
            assert!(!kept.is(other), "{other}");
        }
        let salted = Password::of(ann(), TEXT, [8; 16]).unwrap();
        assert_ne!(salted.hash, kept.hash);
        assert!(!Password::of_nobody(ann()).is(""));
        assert!(!format!("{kept:?}").contains(kept.hash.expose()));
    }

    #[test]
    fn what_is_easily_guessed_is_not_taken() {
        for (text, expected) in [
            (TEXT, Ok(())),
            ("ünïcödé wörds ok", Ok(())),
            ("fourteen-chars", Err(BadPassword::Short)),
            ("correct horse\nbattery", Err(BadPassword::Control)),
            ("abcdabcdabcdabcdabcd", Err(BadPassword::Plain)),
            ("annannANNannann12345", Err(BadPassword::Name)),
            ("long words ".repeat(94).as_str(), Err(BadPassword::Long)),
        ] {
            assert_eq!(check_password(&ann(), text), expected, "{text}");
        }
    }
}
