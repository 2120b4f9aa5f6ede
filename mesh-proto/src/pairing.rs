//! The codes by which a person pairs a machine with its controller, and the proof of a boot secret.
//!
//! Commit, then reveal: the agent fixes its nonce before it sees the controller's, and the code covers the agent's key
//! and the CA the agent saw. A relay that swaps either makes the two screens differ, and cannot search for nonces that
//! make them agree: it has one guess in 10^8 per try that a person watches.

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

/// Random bytes of each side.
pub type Nonce = [u8; 16];

/// What both sides know when the stream has run so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transcript<'a> {
    /// The agent's public key: the DER of its SubjectPublicKeyInfo.
    pub agent_spki: &'a [u8],
    /// SHA-256 of the CA certificate's DER, as the agent saw it and as the controller has it.
    pub ca_sha256: &'a [u8; 32],
    /// The agent's nonce.
    pub agent: &'a Nonce,
    /// The controller's nonce.
    pub controller: &'a Nonce,
}

/// Eight digits that a person compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairingCode(u32);

impl fmt::Display for PairingCode {
    /// `1234-5678`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:04}", self.0 / 10_000, self.0 % 10_000)
    }
}

impl std::str::FromStr for PairingCode {
    type Err = BadCode;

    /// Eight digits, with or without hyphens and blanks.
    fn from_str(text: &str) -> Result<Self, BadCode> {
        let digits: String = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
        let good = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit());
        good.then(|| digits.parse().ok().map(Self))
            .flatten()
            .ok_or(BadCode)
    }
}

/// A text that is no pairing code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pairing code is eight digits such as 1234-5678, as the machine's screen shows it")]
pub struct BadCode;

/// What the agent sends before it knows the controller's nonce.
#[must_use]
pub fn commitment(agent: &Nonce, agent_spki: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"enforcer-pairing/1");
    hash.update(agent);
    hash.update(agent_spki);
    hash.finalize().into()
}

/// The code of an enrolment.
#[must_use]
pub fn code(transcript: &Transcript<'_>) -> PairingCode {
    let mut hash = Sha256::new_with_prefix(b"enforcer-code/1");
    // Everything but the key has a fixed length, and the key's comes first: no two transcripts hash alike.
    hash.update(
        u64::try_from(transcript.agent_spki.len())
            .unwrap_or(u64::MAX)
            .to_be_bytes(),
    );
    hash.update(transcript.agent_spki);
    hash.update(transcript.ca_sha256);
    hash.update(transcript.agent);
    hash.update(transcript.controller);
    let digest: [u8; 32] = hash.finalize().into();
    let (head, _) = digest
        .split_first_chunk::<8>()
        .expect("a digest is 32 bytes");
    PairingCode(u32::try_from(u64::from_be_bytes(*head) % 100_000_000).expect("below 10^8"))
}

/// Shows a boot secret without sending it. `exporter` comes from the TLS session (RFC 8446 §7.5), so a relay that ends
/// TLS cannot pass the proof on; `csr_sha256` binds it to the key.
#[must_use]
pub fn boot_proof(secret: &str, exporter: &[u8; 32], csr_sha256: &[u8; 32]) -> [u8; 32] {
    boot_mac(secret, exporter, csr_sha256)
        .finalize()
        .into_bytes()
        .into()
}

/// Whether a proof shows this secret; takes the same time for every wrong one.
#[must_use]
pub fn boot_proof_holds(
    secret: &str,
    exporter: &[u8; 32],
    csr_sha256: &[u8; 32],
    proof: &[u8; 32],
) -> bool {
    boot_mac(secret, exporter, csr_sha256)
        .verify_slice(proof)
        .is_ok()
}

fn boot_mac(secret: &str, exporter: &[u8; 32], csr_sha256: &[u8; 32]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(b"enforcer-boot/1");
    mac.update(exporter);
    mac.update(csr_sha256);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: [u8; 32] = [1; 32];

    fn transcript<'a>(spki: &'a [u8], ca: &'a [u8; 32]) -> Transcript<'a> {
        Transcript {
            agent_spki: spki,
            ca_sha256: ca,
            agent: &[2; 16],
            controller: &[3; 16],
        }
    }

    #[test]
    fn another_key_ca_or_nonce_gives_another_code() {
        let honest = code(&transcript(b"key", &CA));
        assert_eq!(code(&transcript(b"key", &CA)), honest);
        assert_ne!(code(&transcript(b"kez", &CA)), honest);
        assert_ne!(code(&transcript(b"key", &[9; 32])), honest);
        assert_ne!(
            code(&Transcript {
                agent: &[4; 16],
                ..transcript(b"key", &CA)
            }),
            honest
        );
        assert_ne!(
            code(&Transcript {
                controller: &[4; 16],
                ..transcript(b"key", &CA)
            }),
            honest
        );
    }

    #[test]
    fn a_code_reads_back_as_it_is_shown() {
        let shown = code(&transcript(b"key", &CA)).to_string();
        assert_eq!(shown.len(), 9);
        assert_eq!(shown.parse(), Ok(code(&transcript(b"key", &CA))));
        assert_eq!(
            shown.replace('-', "").parse(),
            Ok(code(&transcript(b"key", &CA)))
        );
        for bad in ["", "1234-567", "1234-56789", "abcd-efgh", "+234-5678"] {
            assert_eq!(bad.parse::<PairingCode>(), Err(BadCode), "{bad}");
        }
    }

    #[test]
    fn a_commitment_binds_nonce_and_key() {
        let c = commitment(&[2; 16], b"key");
        assert_ne!(c, commitment(&[3; 16], b"key"));
        assert_ne!(c, commitment(&[2; 16], b"kez"));
    }

    #[test]
    fn a_proof_holds_only_for_its_secret_session_and_key() {
        let proof = boot_proof("secret", &[5; 32], &[6; 32]);
        assert!(boot_proof_holds("secret", &[5; 32], &[6; 32], &proof));
        assert!(!boot_proof_holds("secret2", &[5; 32], &[6; 32], &proof));
        assert!(!boot_proof_holds("secret", &[7; 32], &[6; 32], &proof));
        assert!(!boot_proof_holds("secret", &[5; 32], &[7; 32], &proof));
    }
}
