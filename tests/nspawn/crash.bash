# shellcheck shell=bash disable=SC2154 # variables are those of site.bash
# The command and what runs in a client's unit, killed at each of their points in turn. Sourced.

libexec=/usr/libexec/nova-quobyte
drop_in=/run/systemd/system/$template@.service.d/crash.conf

# The programs that can be killed between any two steps, beside the others.
install_crash_programs() {
    install /src/target/lab/nova-quobyte-crash /usr/bin/nova-quobyte-crash
    install /src/target/lab/quobyte-client-unit-crash $libexec/quobyte-client-unit-crash
}

# The command as nova, killed at a point. Fails if it was, and says where on standard error.
run_with_crash() { # point, launcher, verb
    as nova env NOVA_QUOBYTE_CRASH_AT="$1" nova-quobyte-crash --json --launcher "$2" "$3" --instance "$guest" \
        --connection-info /srv/info.json
}

# However a call ended: reconcile leaves nothing to mend, the next calls do what they are asked, and then nothing is left.
assert_recovers() { # launcher
    as nova nova-quobyte --json reconcile
    equal "$(as nova nova-quobyte --json reconcile | jq -c .mended)" "[]"
    connect --launcher "$1"
    is_mounted
    disconnect
    until_holds no_user_units
    assert_nothing_is_left
}

# Kills one verb at each point, until it comes to its end.
sweep() { # launcher, verb, what to do before
    local point=0 status
    while true; do
        "$3"
        status=0
        run_with_crash $point "$1" "$2" || status=$?
        assert_recovers "$1"
        if [ $status -eq 0 ]; then
            break
        fi
        equal "$point $status" "$point 137"
        point=$((point + 1))
    done
    [ $point -gt 10 ] || fail "$2 has reached $point points: was it built with them?"
}

connect_by_system() { connect --launcher systemd-system; }
connect_by_user() { connect --launcher systemd-user; }

system_connect_recovers_from_kill() {
    sweep systemd-system connect true
}

user_connect_recovers_from_kill() {
    sweep systemd-user connect true
}

disconnect_recovers_from_kill() {
    sweep systemd-system disconnect connect_by_system
    sweep systemd-user disconnect connect_by_user
}

# Has what the template's units run to start or to stop killed at a point.
set_unit_crash() { # start or stop, point
    local program="/usr/bin/env NOVA_QUOBYTE_CRASH_AT=$2 $libexec/quobyte-client-unit-crash $1"
    install -d "${drop_in%/*}"
    printf '%s\n' '[Service]' "Exec${1^}=" "Exec${1^}=$program" >"$drop_in"
    systemctl daemon-reload
}

clear_unit_crash() {
    rm -f "$drop_in"
    systemctl daemon-reload
}

# Whether systemd saw what it ran for the client's unit killed since the journal's cursor.
was_killed() { # cursor
    journalctl --sync
    journalctl --after-cursor="$1" --unit="$template@$key-*.service" --output=cat |
        grep -q 'Control process exited.*status=9/KILL'
}

sweep_unit() { # start or stop
    local point=0 cursor
    while true; do
        cursor=$(journalctl --lines=0 --show-cursor | sed -n 's/^-- cursor: //p')
        set_unit_crash "$1" $point
        # Where the unit is killed as it starts, this fails.
        connect --launcher systemd-system || equal "$1" start
        systemctl stop "$template@$key-*.service"
        clear_unit_crash
        assert_recovers systemd-system
        was_killed "$cursor" || break
        point=$((point + 1))
    done
    [ $point -ge 3 ] || fail "$1 has reached $point points: was it built with them?"
}

unit_start_recovers_from_kill() {
    sweep_unit start
}

unit_stop_recovers_from_kill() {
    sweep_unit stop
}
