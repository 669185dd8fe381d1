# shellcheck shell=bash
# How a case runs tests of the archive. Sourced.

# Runs the tests that a filter of nextest's selects, in a lab.
in_lab() { # filter [variable=value...]
    local filter=$1
    shift
    mkdir -p /var/tmp/tests
    cd /src || return
    tests/lab/enter env "$@" /src/bin/cargo-nextest nextest run --archive-file target/lab/vm.tar.zst --extract-to /var/tmp/tests \
        --extract-overwrite --workspace-remap . --profile vm --status-level fail -E "$filter"
}
