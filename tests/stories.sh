#!/usr/bin/env bash
# The whole-system stories: STORY_THREADS (2) programs of them at once, each with one story at a time, the longest first, so that no
# core waits for the last story of a program; beside them one of those that mostly wait. usage: tests/stories.sh [SCRIPT.sh …] ARGUMENTS-OF-CARGO-TEST
# The scripts are told like programs.
# A program's output is printed when it ends. One failure does not hide the next.
set -euo pipefail
cd "$(dirname "$0")/.."

# "1m2.345s 0m3.456s", user and system, of all children, is the second line of `times`.
spent() { awk -F'[ms ]+' 'NR == 2 { printf "%.0f", 60 * ($1 + $3) + $2 + $4 }' "$1"; }
# One program's stories, told from their package's folder, as cargo would; or a script.
tell() {
    local started=$SECONDS told=ok name log told_by
    case $1 in
        *.sh) name=$(basename "$1" .sh) told_by=("$PWD/$1") ;;
        *) name=$(basename "${1%-*}") told_by=("$1" --test-threads=1) ;;
    esac
    log=$STORY_LOGS/$name
    (cd tests && "${told_by[@]}") >"$log" 2>&1 || told=FAILED
    times >"$log.times"
    {
        flock 9
        printf '\n== %s: %s, %s s (cpu %s s)\n' "$name" "$told" $((SECONDS - started)) "$(spent "$log.times")"
        cat "$log"
    } 9>"$STORY_LOGS/one-at-a-time"
    [ $told = ok ]
}
if [ "${1:-}" = --tell ]; then
    tell "$2"
    exit
fi

scripts=()
while [[ ${1:-} == *.sh ]]; do scripts+=("$1") && shift; done

# "  Executable tests/lab.rs (target/debug/deps/lab-0123456789abcdef)"
said=$(cargo test --locked --workspace --no-run "$@" 2>&1) || { echo "$said"; exit 1; }
programs=$(echo "$said" | sed -n 's/^ *Executable .*(\(.*\))$/\1/p' | xargs -r realpath)
[ -n "$programs" ] || { echo "stories: cargo named no program"; exit 1; }
# A list that is behind the tree costs time, no more. `arm64` waits for programs that are built meanwhile, on what the machines leave
# of the processor.
long="deploy_machines spent_once debian power_on mesh_machines deployments"
# A quarter of a core each: many small programs, and the network's time.
light="mesh_ns helpers providers"
last="arm64"
named() { for name in "$@"; do echo "$programs" | grep "/$name-" || true; done; }
waiting=$(named $light)
ordered=$(named $long; printf '%s\n' "${scripts[@]}"; echo "$programs" | grep -v "/$last-" || true; named $last)
case $programs in */arm64-*) nice -n 19 tests/build-arm64.sh >/dev/null 2>&1 & ;; esac

STORY_LOGS=$(mktemp -d)
export STORY_LOGS STORY_TIMES=$STORY_LOGS/times
# Tells those of standard input, so many at once.
lane() { awk 'NF && !seen[$0]++' | xargs -r -P "$1" -n 1 "$0" --tell; }
told=0
echo "$waiting" | lane 1 &
echo "$ordered" | { grep -vxF "$waiting" || true; } | lane "${STORY_THREADS:-2}" || told=1
wait $! || told=1
printf '\nstories, the longest first:\n'
sort -rn "$STORY_TIMES"
rm -rf "$STORY_LOGS"
exit $told
