//! The numbers that another agent has to come to.

use mesh_proto::pairing::{Transcript, boot_proof, code, commitment};

use super::samples;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    let bytes: Vec<_> = text
        .as_bytes()
        .chunks(2)
        .map(|two| std::str::from_utf8(two).expect("digits"))
        .collect();
    let bytes: Vec<_> = bytes
        .iter()
        .map(|two| u8::from_str_radix(two, 16).expect("digits"))
        .collect();
    bytes.try_into().expect("as many digits")
}

#[test]
fn the_documented_vector_of_codes_and_proofs_holds() {
    let vectors = samples("vector");
    let [vector] = vectors.as_slice() else {
        panic!("one vector")
    };
    let text = |name: &str| vector[name].as_str().expect(name);
    let spki: [u8; 91] = unhex(text("agent_spki"));
    let nonce = unhex(text("agent_nonce"));
    assert_eq!(hex(&commitment(&nonce, &spki)), text("commit"));
    let transcript = Transcript {
        agent_spki: &spki,
        ca_sha256: &unhex(text("ca_sha256")),
        agent: &nonce,
        controller: &unhex(text("controller_nonce")),
    };
    assert_eq!(code(&transcript).to_string(), text("code"));
    let proof = boot_proof(
        text("secret"),
        &unhex(text("exporter")),
        &unhex(text("csr_sha256")),
    );
    assert_eq!(hex(&proof), text("hmac"));
}
