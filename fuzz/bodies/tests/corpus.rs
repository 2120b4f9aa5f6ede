//! Replays every checked-in input of every fuzz target.

use std::{fs, path::Path};

#[test]
fn every_corpus_file_is_survived() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (name, body) in fuzz_bodies::TARGETS {
        let files = fs::read_dir(corpora.join(name)).expect("each target has a corpus");
        let mut count = 0;
        for file in files {
            let path = file.expect("a readable folder").path();
            println!("{}", path.display()); // shown when the next line panics
            body(&fs::read(path).expect("a readable file"));
            count += 1;
        }
        assert!(count > 0, "{name} has an empty corpus");
    }
}

#[test]
fn every_corpus_has_a_target() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for folder in fs::read_dir(corpora).expect("a folder of corpora") {
        let name = folder.expect("a readable folder").file_name();
        let known = fuzz_bodies::TARGETS
            .iter()
            .any(|(target, _)| name == *target);
        assert!(known, "{} is fuzzed by nobody", name.display());
    }
}
