#!/usr/bin/env bash
# `make test`: every part of the tests, each with its time; the last lines say which failed. With arguments: only those parts.
# A lab that cannot run fails; nothing is skipped.
set -uo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cargo/bin
tests/preflight.sh || exit 1

# Machines are emulated, one busy thread each. Two stories at a time fill two cores and stay far from their time limits.
export STORY_THREADS=${STORY_THREADS:-2}
export CARGO_TERM_PROGRESS_WHEN=never

# Arguments for `cargo test` that pick the integration tests of the given files. All calls say --workspace and pick targets,
# not packages: another choice of packages means other features, and everything would be built twice.
picked() { for file in "$@"; do file=${file%/main.rs}; echo --test "$(basename "$file" .rs)"; done; }
inner_tests() { picked {image,image/store,ipxe,ipxe/net,mesh-proto,mesh-proto/net,controller,agent,fuzz/bodies}/tests/{*.rs,*/main.rs}; }
stories() { picked tests/tests/{*.rs,*/main.rs}; }
# The web app goes into what is tested as soon as it was built, so that the program is built once. The lints look at the one without.
app() { [ ! -f web/dist/index.html ] || echo --features enforcer/web; }

format() { cargo fmt --all --check && cargo fmt --check --manifest-path fuzz/Cargo.toml; }
purity() { tests/purity.sh; }
licences() { tests/licences.sh; }
page() { tests/page.sh; }
lints() { nice cargo clippy --quiet --locked --workspace --all-targets -- --deny warnings; }
# With private items, as `make doc` writes them: links between modules are checked too. That examples are
# asked for makes cargo choose the dependencies' features as the lints do, and take what these have read already.
docs() { RUSTDOCFLAGS="--deny warnings --allow rustdoc::private-intra-doc-links" nice cargo doc --quiet --locked --workspace --no-deps --lib --bins --examples --document-private-items; }
build() { cargo test --quiet --locked --workspace $(app) --no-run; }
# The pure logic, the store, the sockets, the replayed fuzz corpora. Much of it waits for a clock or a socket, so three kinds run side
# by side, and each is printed as it ends. One failure does not hide the next.
units() {
    local kind job jobs=() told=0 logs
    logs=$(mktemp -d)
    for kind in "$(inner_tests)" "--lib --bins --examples" --doc; do
        cargo test --locked --workspace $(app) --no-fail-fast $kind >"$logs/${#jobs[@]}" 2>&1 &
        jobs+=($!)
    done
    for job in "${!jobs[@]}"; do
        wait "${jobs[job]}" || told=1
        cat "$logs/$job"
    done
    rm -rf "$logs"
    return $told
}
# Built before the stories, so that no story's time limit pays for it.
fixtures() { "${CARGO_TARGET_DIR:-target}"/debug/fixtures; }
whole_system() { tests/stories.sh $(app) $(stories); }

# The page in a browser, with machines beside it.
web() { tests/web.sh; }

# Each of these parts; one failure does not hide the next.
each() {
    local name told=0
    for name in "$@"; do "$name" || told=1; done
    return $told
}
# What keeps one core busy runs beside what leaves one: first what the stories wait for, then what only reads the source. Cargo has one
# lock for all who build; by the time the lints want it, the units have long let it go.
units_and_checks() {
    local told=0
    each fixtures lints docs &
    units || told=1
    wait $! || told=1
    return $told
}
whole_system_and_web() { tests/stories.sh tests/web.sh $(app) $(stories); }

report="" failed=""
part() {
    echo "== $1"
    exec 3>&1 4>&2
    local times ok=ok
    times=$(TIMEFORMAT='%R %U %S'; { time "$1" >&3 2>&4; } 2>&1) || { ok=FAILED; failed="$failed $1"; }
    report+=$(printf '%-22s %7.0f s  (cpu %5.0f s)  %s' "$1" "${times%% *}" "$(echo "$times" | awk '{ print $2 + $3 }')" "$ok")$'\n'
}

shopt -s nullglob
# Cargo picks a test file by its name in every crate: a story and an inner test of one name would run in both parts.
twice=$(comm -12 <(inner_tests | sort -u) <(stories | sort -u))
[ -z "$twice" ] || { echo "a story and an inner test have one name ($twice): rename one"; exit 1; }
[ $# -gt 0 ] || set -- format purity licences page build units_and_checks whole_system_and_web
SECONDS=0
# The static agent is built in a place of its own, its last minutes on one core: beside the rest. `fixtures` waits for it.
case " $* " in *fixtures*|*checks*) tests/build-agent.sh >/dev/null 2>&1 & ;; esac
for name in "$@"; do part "$name"; done
printf '\n%stotal                  %7d s\n' "$report" "$SECONDS"
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
