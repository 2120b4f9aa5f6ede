//! The figures of the image store: which chunk size, how small, how fast, how much memory.
//!
//! `cargo bench -p image-store` makes its disks first (a few minutes, below `IMAGE_BENCH_DIR` or a folder of its own), then
//! takes them in with every chunk size, each into a store of its own, and once in every format.
#![expect(clippy::unwrap_used, reason = "a bench stops where something is wrong")]

use std::{
    env, fs,
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use image::ChunkSize;
use image_store::{ChunkStore, Ingest, IngestOptions, Ingested, Limits, Plain, ZstdStream};

/// Bytes pushed at a time: what an HTTP body brings.
const PUSH_BYTES: usize = 64 << 10;

fn main() {
    // `cargo test` builds and starts benches too; they say so by this argument's absence.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let (dir, _gone_at_the_end) = match env::var_os("IMAGE_BENCH_DIR") {
        Some(dir) => (PathBuf::from(dir), None),
        None => {
            let own = tempfile::tempdir().unwrap();
            (own.path().join("disks"), Some(own))
        }
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/ingest/disks.sh");
    assert!(Command::new(script).arg(&dir).status().unwrap().success());
    let stores =
        tempfile::tempdir_in(env::var_os("STORE_BENCH_DIR").map_or(dir.clone(), PathBuf::from))
            .unwrap();
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    println!("load average {load}");
    chunk_sizes(&dir, stores.path());
    formats(&dir, stores.path());
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn chunk_sizes(dir: &Path, stores: &Path) {
    let whole = whole_bytes(&dir.join("tree.img.zst"));
    println!(
        "`zstd -3` of the whole disk: {:.0} MiB; changed in the second disk: {:.0} MiB",
        mib(whole),
        changed(dir)
    );
    println!(
        "| chunk | stored | of `zstd -3` | chunks | manifest | raw ingest, apparent | second disk: new | stored | ingest | peak memory |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for log in 16..=22 {
        let chunk_size = ChunkSize::try_from(1_u32 << log).unwrap();
        let options = IngestOptions {
            chunk_size,
            ..IngestOptions::default()
        };
        let folder = stores.join("store");
        let store = ChunkStore::open(&folder, Limits::default()).unwrap();
        let first = Taken::measure(&store, &dir.join("tree.img"), options);
        let second = Taken::measure(&store, &dir.join("changed.img"), options);
        println!(
            "| {} KiB | {:.0} MiB | {:.3} | {} | {:.0} KiB | {:.0} MB/s | {:.0} MiB | {:.0} MiB | {:.0} MB/s | {:.0} MiB |",
            chunk_size.get() >> 10,
            mib(first.done.stored_bytes),
            first.done.stored_bytes as f64 / whole as f64,
            first.done.manifest.data_len(),
            first.done.manifest.encode().len() as f64 / 1024.0,
            first.speed(),
            mib(second.done.new_bytes),
            mib(second.done.stored_bytes),
            second.speed(),
            first.peak_mib.max(second.peak_mib),
        );
        fs::remove_dir_all(folder).unwrap();
    }
}

fn formats(dir: &Path, stores: &Path) {
    println!("| taken in | bytes | apparent | peak memory |");
    println!("|---|---:|---:|---:|");
    let mut last = None;
    for (name, file) in [
        ("raw", "tree.img"),
        ("gzip -1", "tree.img.gz"),
        ("zstd -3", "tree.img.zst"),
        ("xz -1", "tree.img.xz"),
    ] {
        let folder = stores.join(name);
        let store = ChunkStore::open(&folder, Limits::default()).unwrap();
        let taken = Taken::measure(&store, &dir.join(file), IngestOptions::default());
        println!(
            "| {name} | {:.0} MiB | {:.0} MB/s | {:.0} MiB |",
            mib(taken.done.received_bytes),
            taken.speed(),
            taken.peak_mib
        );
        last = Some((store, taken.done));
    }
    let (store, done) = last.unwrap();
    let manifest = std::sync::Arc::new(done.manifest);
    let size = manifest.size();
    give_out(
        "plain",
        size,
        Plain::new(store.clone(), manifest.clone(), 0..size),
    );
    give_out(
        "zstd stream",
        size,
        ZstdStream::new(store, manifest).unwrap(),
    );
}

fn give_out(name: &str, size: u64, parts: impl Iterator<Item = image_store::Result<bytes::Bytes>>) {
    reset_peak();
    let before = memory_mib("VmRSS");
    let start = Instant::now();
    let mut out = File::create("/dev/null").unwrap();
    let mut bytes = 0;
    for part in parts {
        let part = part.unwrap();
        out.write_all(&part).unwrap();
        bytes += part.len() as u64;
    }
    let speed = size as f64 / 1e6 / start.elapsed().as_secs_f64();
    println!(
        "| given out: {name} | {:.0} MiB | {speed:.0} MB/s | {:.0} MiB |",
        mib(bytes),
        memory_mib("VmHWM") - before
    );
}

struct Taken {
    done: Ingested,
    seconds: f64,
    /// Above what the process had before.
    peak_mib: f64,
}

impl Taken {
    fn measure(store: &ChunkStore, path: &Path, options: IngestOptions) -> Self {
        // Read once before: what is measured is not the disk that the file comes from.
        std::io::copy(&mut File::open(path).unwrap(), &mut std::io::sink()).unwrap();
        reset_peak();
        let before = memory_mib("VmRSS");
        let start = Instant::now();
        let mut ingest = Ingest::new(store.session(), options);
        let mut file = File::open(path).unwrap();
        let mut buffer = vec![0; PUSH_BYTES];
        loop {
            match file.read(&mut buffer).unwrap() {
                0 => break,
                len => ingest.write(&buffer[..len]).unwrap(),
            }
        }
        let done = ingest.finish().unwrap();
        Self {
            done,
            seconds: start.elapsed().as_secs_f64(),
            peak_mib: memory_mib("VmHWM") - before,
        }
    }

    /// MB of the disk per second.
    fn speed(&self) -> f64 {
        self.done.manifest.size() as f64 / 1e6 / self.seconds
    }
}

fn whole_bytes(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn changed(dir: &Path) -> f64 {
    let bytes = fs::read_to_string(dir.join("changed.bytes")).unwrap();
    mib(bytes.trim().parse().unwrap())
}

fn reset_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn memory_mib(what: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}
