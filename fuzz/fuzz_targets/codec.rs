//! Fuzzes the gossip's encoding; the body is in `fuzz/bodies`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_bodies::fuzz_codec(data));
