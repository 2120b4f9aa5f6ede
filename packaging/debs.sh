#!/bin/sh
# `make debs`: both programs, static, and their Debian packages for this architecture, in target/debs.
# PROGRAMS names a folder of programs that were built already; DEBS another folder for the packages.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cargo/bin
into=${DEBS:-${CARGO_TARGET_DIR:-target}/debs}
if [ -z "${PROGRAMS:-}" ]; then
    target=$(uname -m)-unknown-linux-gnu
    RUSTFLAGS=$(tests/static-flags.sh) cargo build --locked --release --target "$target" --package enforcer --package enforcer-agent
    PROGRAMS=${CARGO_TARGET_DIR:-target}/$target/release
fi
mkdir -p "$into"
rm -f "$into"/enforcer*.deb
exec packaging/build-debs.sh "$PROGRAMS" "$(dpkg --print-architecture)" "$into"
