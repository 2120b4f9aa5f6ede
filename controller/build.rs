//! Packs docs/openapi.json for the program: without the blanks by which people read it it is half as large, and gzip makes it a
//! twentieth.

use std::{env, fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};

const DOCUMENT: &str = "../docs/openapi.json";

fn main() {
    println!("cargo::rerun-if-changed={DOCUMENT}");
    let text = fs::read_to_string(DOCUMENT).expect("docs/openapi.json is checked in");
    let folder = env::var_os("OUT_DIR").expect("cargo sets it for build scripts");
    let packed = Path::new(&folder).join("openapi.json.gz");
    fs::write(packed, gzip(&tight(&text))).expect("cargo's own folder can be written");
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(text.as_bytes()).expect("memory takes it");
    packer.finish().expect("memory takes it")
}

/// JSON without blanks, but for those in strings.
fn tight(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let mut stays = |c: &char| {
        let plain = !std::mem::replace(&mut escaped, false);
        match c {
            '"' if plain => in_string = !in_string,
            '\\' if plain => escaped = in_string,
            _ => {}
        }
        in_string || !c.is_ascii_whitespace()
    };
    json.chars().filter(|c| stays(c)).collect()
}
