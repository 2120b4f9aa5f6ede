#!/usr/bin/env bash
# The web app: Debian's Chromium against a real controller that has the app inside, real agents, and an emulated machine.
# usage: tests/web.sh [ARGUMENTS-OF-PLAYWRIGHT]. Needs root for the viewer's accounts.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/page.sh
PATH=$(tests/node.sh):$PATH
# As the rest of `make test` builds it: fewer targets would mean other features of libraries, and everything anew.
cargo test --quiet --locked --workspace --features enforcer/web --no-run
cd web
exec node node_modules/@playwright/test/cli.js test "$@"
