//! Which CA an agent believes before it has a certificate.

use mesh_proto::message::Secret;

use crate::cert::unhex;

/// What an agent was told about the site's CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaTrust {
    /// SHA-256 of its certificate: the kernel's command line (`enforcer.ca=`).
    Sha256([u8; 32]),
    /// The first half of it: a join token. 128 bits are as hard to meet by another CA as its key is to guess.
    Prefix([u8; 16]),
    /// Nothing: take what is shown. The pairing code then tells a person whether it was the right one.
    Shown,
}

/// A text that is no join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a join token looks like enforcer-<8 hex digits>-<32 hex digits>-<32 hex digits>")]
pub struct BadToken;

impl CaTrust {
    /// From `enforcer.ca=`: 64 hex digits.
    #[must_use]
    pub fn from_hex(digits: &str) -> Option<Self> {
        unhex(digits).map(Self::Sha256)
    }

    /// What a join token (`enforcer-<id>-<secret>-<CA>`) says about its CA.
    ///
    /// # Errors
    /// When it is no join token.
    pub fn from_token(token: &Secret) -> Result<Self, BadToken> {
        let mut parts = token.expose().trim().split('-');
        let head = parts.next() == Some("enforcer");
        let id = parts.next().and_then(unhex::<4>).is_some();
        let secret = parts.next().and_then(unhex::<16>).is_some();
        let ca = parts.next().and_then(unhex::<16>).map(Self::Prefix);
        let whole = head && id && secret && parts.next().is_none();
        ca.filter(|_| whole).ok_or(BadToken)
    }

    pub(crate) fn fits(&self, sha256: &[u8; 32]) -> bool {
        match self {
            Self::Sha256(told) => told == sha256,
            Self::Prefix(told) => sha256.starts_with(told),
            Self::Shown => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_token_names_its_ca_and_nothing_else_is_one() {
        let token = |text: &str| CaTrust::from_token(&Secret::new(text));
        let good = format!("enforcer-0123abcd-{}-{}", "5".repeat(32), "a".repeat(32));
        assert_eq!(token(&good), Ok(CaTrust::Prefix([0xaa; 16])));
        assert_eq!(
            token(&format!(" {good}\n")),
            Ok(CaTrust::Prefix([0xaa; 16]))
        );
        for bad in [
            "",
            "enforcer",
            &good[1..],
            &good[..good.len() - 1],
            &format!("{good}-00"),
        ] {
            assert_eq!(token(bad), Err(BadToken), "{bad}");
        }
    }

    #[test]
    fn a_ca_fits_what_was_told_of_it() {
        let mut ca = [7; 32];
        assert!(
            CaTrust::Sha256(ca).fits(&ca)
                && CaTrust::Prefix([7; 16]).fits(&ca)
                && CaTrust::Shown.fits(&ca)
        );
        ca[15] = 8;
        assert!(!CaTrust::Sha256([7; 32]).fits(&ca) && !CaTrust::Prefix([7; 16]).fits(&ca));
    }
}
