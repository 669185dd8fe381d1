# The demo's tools: steps that show themselves and their time, and a guest that takes commands.
# shellcheck shell=bash

as_nova() {
    setpriv --reuid=nova --regid=nova --init-groups -- env HOME="$NOVA_QUOBYTE_LAB/nova" "$@"
}

# Seconds since the time given, as $EPOCHREALTIME has it.
since() {
    awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.2f", to - from }'
}

heading() {
    printf '\n# %s\n' "$1"
}

# step COMMAND-LINE [EXPECTED]: shows the line as nova would type it, runs it, shows what it wrote and its time. Its
# first word of output must be EXPECTED where that is given.
step() {
    local from=$EPOCHREALTIME output
    printf '$ %s\n' "$1"
    output=$(as_nova bash -c "set -o pipefail; $1") || fail "that failed: $output"
    show "$output" "$from"
    if [ $# -gt 1 ] && [ "${output%% *}" != "$2" ]; then
        fail "expected $2"
    fi
}

show() {
    if [ -n "$1" ]; then
        printf '%s\n' "$1"
    fi
    printf '  (%s s)\n' "$(since "$2")"
}

fail() {
    echo "The demo failed: $1" >&2
    exit 1
}

nothing_left() {
    if [ -n "$2" ]; then
        fail "$1 is left: $2"
    fi
}

mounts() {
    cut -d ' ' -f 5- /proc/self/mountinfo | sort
}

# Defines the domain `demo` from the template given, and waits for its guest to connect to the commands socket.
define_guest() {
    local directory=$NOVA_QUOBYTE_LAB/demo
    mkdir -m 755 "$directory"
    sed -e "s|@TYPE@|$NOVA_QUOBYTE_VIRT_TYPE|" -e "s|@NAME@|demo|" -e "s|@UUID@|$(cat /proc/sys/kernel/random/uuid)|" \
        -e "s|@KERNEL@|$NOVA_QUOBYTE_LAB/guest/vmlinuz|" -e "s|@INITRAMFS@|$NOVA_QUOBYTE_LAB/guest/initramfs|" \
        -e "s|@CONSOLE@|$directory/console|" -e "s|@COMMANDS@|$directory/commands|" "$1" >"$directory/domain.xml"
    coproc GUEST { exec socat STDIO "UNIX-LISTEN:$directory/commands,mode=666"; }
    virsh --quiet --connect qemu:///system define "$directory/domain.xml"
}

await_guest() {
    local from=$EPOCHREALTIME line
    read -r -t 90 -u "${GUEST[0]}" line || fail "the guest does not boot: $(cat "$NOVA_QUOBYTE_LAB/demo/console")"
    [ "$line" = ready ] || fail "the guest said $line"
    show "The guest takes commands." "$from"
}

# in_guest COMMAND-LINE: a step that the guest takes, by the service that tests/lab/guest-init describes. Leaves what
# it wrote in $answer.
in_guest() {
    local from=$EPOCHREALTIME status length
    printf 'guest# %s\n' "$1"
    printf '%s\n' "$1" >&"${GUEST[1]}"
    read -r -t 90 -u "${GUEST[0]}" status length || fail "the guest does not answer"
    answer=$(head -c "$length" <&"${GUEST[0]}")
    [ "$status" -eq 0 ] || fail "in the guest: $answer"
    show "$answer" "$from"
}

# A client outlives its unmounting by a moment; one that stays would fail the demo here.
await_clients() {
    local arguments process program
    for arguments in /proc/[0-9]*/cmdline; do
        process=${arguments//[^0-9]/}
        program=
        # The first argument, which is the name a client was started by; empty for a kernel thread or a process that ended.
        IFS= read -r -d '' program 2>/dev/null <"$arguments" || true
        if [ "${program##*/}" = mount.quobyte ]; then
            timeout 10 tail --pid="$process" --sleep-interval=0.05 --follow /dev/null || fail "a client is left: $process"
        fi
    done
}
