# shellcheck shell=bash
# How a case runs tests of the archive. Those that it selects by `binary(NAME)` are in it. Sourced.

# Runs the tests that a filter of nextest's selects, in a lab.
in_lab() { # filter [variable=value...]
    local filter=$1
    shift
    mkdir -p /var/tmp/tests
    cd /src || return
    tests/lab/enter env "$@" /src/bin/cargo-nextest nextest run --archive-file target/lab/vm.tar.zst --extract-to /var/tmp/tests \
        --extract-overwrite --workspace-remap . --profile vm -E "$filter"
}

# Has Yama let processes trace each other as it says, until the case ends.
set_ptrace_scope() { # 0, 1 or 2
    local setting=/proc/sys/kernel/yama/ptrace_scope
    # shellcheck disable=SC2064 # what it was before
    [ -n "$(trap -p EXIT)" ] || trap "echo $(cat $setting) >$setting" EXIT
    echo "$1" >$setting
    echo "ptrace_scope $1"
}
