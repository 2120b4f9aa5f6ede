#!/usr/bin/env bash
# The web app: Debian's Chromium against a real controller that has the app inside, real agents, and an emulated machine.
# usage: tests/web.sh [ARGUMENTS-OF-PLAYWRIGHT]. Needs root for the viewer's accounts.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/page.sh
PATH=$(tests/node.sh):$PATH
cargo build --quiet --locked --workspace --features enforcer/web --bin enforcer --bin enforcer-agent --bin lab-room
cd web
exec node node_modules/@playwright/test/cli.js test "$@"
