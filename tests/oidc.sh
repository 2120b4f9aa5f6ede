#!/usr/bin/env bash
# oidc-provider of npm, at which tests/tests/oidc.rs and a browser (web/tests/provider.ts) sign in, installed into tests/.cache/oidc once.
# Prints Node's path; the provider is tests/.cache/oidc/provider.mjs.
set -euo pipefail
cd "$(dirname "$0")"
bin=$(./node.sh)
mkdir -p .cache
exec 9>.cache/oidc.lock
flock 9
want=$(cat oidc/*.json | sha256sum)
if [ "$(cat .cache/oidc/complete 2>/dev/null)" != "$want" ]; then
    rm -rf .cache/oidc
    cp -r oidc .cache/oidc
    (cd .cache/oidc && PATH=$bin:$PATH npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2)
    echo "$want" >.cache/oidc/complete
fi
cp oidc/provider.mjs .cache/oidc/
echo "$bin/node"
