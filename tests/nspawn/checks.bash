# shellcheck shell=bash
# How the tests in the container say what holds. Sourced.

passed=0
failed=0

# Runs a test, a function of that name; what it promises is its name. It fails as soon as one of its commands fails.
run_test() {
    local output status
    set +e
    # Not in a condition: there, `set -e` would be of no effect within the function.
    output=$(
        set -e
        "$1" 2>&1
    )
    status=$?
    set -e
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok    ${1//_/ }"
    else
        failed=$((failed + 1))
        printf 'FAIL  %s\n%s\n' "${1//_/ }" "$output"
    fi
}

equal() { # actual, expected
    [ "$1" = "$2" ] || fail "got '$1', expected '$2'"
}

matches() { # actual, pattern
    # shellcheck disable=SC2053 # a pattern is what it is
    [[ $1 == $2 ]] || fail "got '$1', expected '$2'"
}

# The command has to fail.
refused() {
    ! "$@" || fail "succeeded: $*"
}

fail() {
    echo "$*" >&2
    return 1
}

# Waits until a condition holds for which there is no event; its deadline is generous, since it only fails a test.
until_holds() {
    local deadline=$((SECONDS + 60))
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || fail "never held: $*"
        sleep 0.05
    done
}
