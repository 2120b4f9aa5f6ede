#!/bin/sh
# Runs the provisioning script of {{ name | line }} and tells Enforcer how it ended: the exit status decides.
# Called as `run.sh ROOT [COMMAND...]`: the script is put into ROOT/tmp and started by COMMAND, such as `chroot ROOT`.
root=$1
shift
get() { wget -q -O "$2" "$1" || curl -fsS -o "$2" "$1"; }
keep_trying() {
    tries=$1
    until get "$2" "$3"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 2
    done
}
script=/tmp/enforcer-script
mkdir -p "$root/tmp"
if keep_trying 30 {{ answer('script.sh') | shell }} "$root$script"; then
    chmod 700 "$root$script"
    case $(head -n 1 "$root$script") in
        '#!'*) "$@" $script ;;
        *) "$@" /bin/sh $script ;;
    esac
    code=$?
    rm -f "$root$script"
    why="the%20script%20ended%20with%20exit%20code%20$code"
else
    code=1
    why="the%20script%20could%20not%20be%20fetched"
fi
if [ "$code" -eq 0 ]; then
    keep_trying 150 {{ done | shell }} /dev/null
else
    keep_trying 150 {{ failed | shell }}"?reason=$why" /dev/null
fi
exit "$code"
