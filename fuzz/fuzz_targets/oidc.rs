//! Fuzzes oidc; the body is in `fuzz/bodies`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_bodies::fuzz_oidc(data));
