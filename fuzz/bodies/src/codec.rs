//! The gossip's encoding: what can be read is written back as something that reads the same.

use foca::{Codec, Member};
use mesh_proto::{
    broadcast::FactsNote,
    codec::{self, Datagram, WireCodec},
    identity::Identity,
};

/// The input is read as each of the values that the gossip is made of.
pub fn fuzz_codec(data: &[u8]) {
    if let Ok(header) = codec::header(data) {
        let mut bytes = Vec::new();
        WireCodec
            .encode_header(&header, &mut bytes)
            .expect("a header that was read fits");
        assert_eq!(codec::header(&bytes).expect("our own"), header);
    }
    if let Ok(note) = FactsNote::from_bytes(data) {
        assert_eq!(
            FactsNote::from_bytes(&note.to_bytes()).expect("our own"),
            note
        );
    }
    if let Ok(datagram) = Datagram::from_bytes(data) {
        assert_eq!(datagram.to_bytes(), data);
    }
    members(data);
}

/// A whole packet's worth of members, one behind the other.
fn members(mut rest: &[u8]) {
    while let Ok(member) = WireCodec.decode_member(&mut rest) {
        let mut bytes = Vec::new();
        WireCodec
            .encode_member(&member, &mut bytes)
            .expect("a member that was read fits");
        assert!(bytes.len() <= 44, "an identity grew");
        let back: Member<Identity> = WireCodec.decode_member(bytes.as_slice()).expect("our own");
        assert_eq!(back, member);
    }
}
