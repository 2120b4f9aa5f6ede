#!/bin/sh
# Fuzzes each target for FUZZ_SECONDS (default 60), from its checked-in corpus; what it finds on the way stays in
# fuzz/target. A crash is left in fuzz/artifacts: copy it into fuzz/corpus/TARGET, where `cargo test` replays it for ever.
set -eu
cd "$(dirname "$0")/.."
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
for target in ${*:-$(ls fuzz/corpus)}; do
    found="fuzz/target/corpus/$target"
    mkdir -p "$found"
    echo "fuzzing $target for ${FUZZ_SECONDS:-60} s"
    # The sanitizer's flags are unstable; RUSTC_BOOTSTRAP lets the stable compiler take them, no nightly is needed.
    RUSTC_BOOTSTRAP=1 cargo fuzz run "$target" "$found" "fuzz/corpus/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-60}" -max_len=8192 -verbosity=0 -print_final_stats=1
done
