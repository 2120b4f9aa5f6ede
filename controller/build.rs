//! Packs docs/openapi.json for the program: without the blanks by which people read it it is half as large, and gzip makes it a
//! twentieth. With the feature `web` also the files of the web app.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

const DOCUMENT: &str = "../docs/openapi.json";
const APP: &str = "../web/dist";

fn main() {
    println!("cargo::rerun-if-changed={DOCUMENT}");
    let text = fs::read_to_string(DOCUMENT).expect("docs/openapi.json is checked in");
    let folder = env::var_os("OUT_DIR").expect("cargo sets it for build scripts");
    let packed = Path::new(&folder).join("openapi.json.gz");
    fs::write(packed, gzip(tight(&text).as_bytes())).expect("cargo's own folder can be written");
    if env::var_os("CARGO_FEATURE_WEB").is_some() {
        app(Path::new(&folder));
    }
}

/// The list of the app's files for `src/web.rs`, and the files themselves, packed.
fn app(folder: &Path) {
    println!("cargo::rerun-if-changed={APP}");
    let mut files = Vec::new();
    collect(Path::new(APP), &mut files);
    files.sort();
    assert!(
        files.iter().any(|file| file.ends_with("index.html")),
        "the feature `web` needs the built app: run `npm ci && npm run build` in web/"
    );
    let mut list = "const FILES: &[File] = &[\n".to_owned();
    for (number, file) in files.iter().enumerate() {
        let packed = folder.join(format!("web-{number}.gz"));
        let bytes = fs::read(file).expect("it was listed");
        fs::write(&packed, gzip(&bytes)).expect("cargo's own folder can be written");
        let path = file.strip_prefix(APP).expect("it was found there");
        let (kind, packed) = (kind(path), packed.display().to_string());
        writeln!(
            list,
            "File {{ path: {:?}, kind: {kind:?}, packed: include_bytes!({packed:?}) }},",
            path.display().to_string()
        )
        .expect("memory takes it");
    }
    fs::write(folder.join("web_files.rs"), list + "];\n")
        .expect("cargo's own folder can be written");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|e| e.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes).expect("memory takes it");
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
