#!/usr/bin/env bash
# The web app: types, build with its budget, then Debian's Chromium against a real controller that has the app inside, real agents, and an
# emulated machine.
# Node is that of tests/node.sh. Needs root for the viewer's accounts.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$(tests/node.sh):$PATH

! grep '"resolved"' web/package-lock.json | grep -v '"https://registry.npmjs.org/' || { echo "web: the lock file names another registry" >&2; exit 1; }
(
    cd web
    # Not `npm ci`: the lock file names what Linux takes, and that wants the bundler's programs for all systems in it.
    npm install --no-save --no-audit --no-fund --ignore-scripts --loglevel=error
    npm run --silent check
    npm run --silent build
)
# What only such a program has.
cargo test --quiet --locked --workspace --features enforcer/web --lib -- web:: browsers
# Last in `make test`: the program with the app takes the place of the one without.
cargo build --quiet --locked --workspace --features enforcer/web --bin enforcer --bin enforcer-agent --bin lab-room
cd web
exec node node_modules/@playwright/test/cli.js test "$@"
