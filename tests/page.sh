#!/usr/bin/env bash
# The web app: its types, and web/dist within its budget. The files stay untouched when nothing is newer than they are: whoever
# touches them has the controller built anew.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$(tests/node.sh):$PATH

! grep '"resolved"' web/package-lock.json | grep -v '"https://registry.npmjs.org/' || { echo "web: the lock file names another registry" >&2; exit 1; }
cd web
installed=node_modules/.package-lock.json made=dist/index.html
# Not `npm ci`: the lock file names what Linux takes, and that wants the bundler's programs for all systems in it.
[ "$installed" -nt package-lock.json ] || npm install --no-save --no-audit --no-fund --ignore-scripts --loglevel=error
npm run --silent check
# What it is made of: the schema is written anew by each check, from the document.
newer=$(find ../docs/openapi.json ./*.json ./*.ts ./*.js index.html public scripts src -type f ! -name schema.d.ts -newer "$made" -print -quit 2>&1) || true
[ -f "$made" ] && [ -z "$newer" ] || npm run --silent build
