#!/bin/sh
# Builds the static controller and agent for aarch64, as the tests run them (not optimised), and prints the folder they are in.
# On another host it needs what cross.sh says.
set -eu
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
linker=$(tests/cross.sh aarch64)
[ -z "$linker" ] || export "${linker?}"
# As in build-agent.sh: these are another package's.
for name in $(env | sed -n 's/^\(CARGO_PKG_[A-Z_]*\|CARGO_MANIFEST_[A-Z]*\)=.*/\1/p'); do unset "$name"; done
# By flags, not by a profile of its own: macros and build scripts are then those that this host's build has made already. And of the
# whole workspace, as everything else here, because another choice of packages means other features of them.
RUSTFLAGS="$(tests/static-flags.sh aarch64) -C debuginfo=0 -C strip=symbols" \
    cargo build --quiet --locked --workspace --bin enforcer --bin enforcer-agent --target "$target"
echo "${CARGO_TARGET_DIR:-target}/$target/debug"
