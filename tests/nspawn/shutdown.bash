# shellcheck shell=bash disable=SC2154 # variables are those of site.bash
# Guests that still run when the container is shut down; `check-shutdown` checks what became of them. Sourced.

# Stands in for a guest, which writes to its disk last of all. systemd signals a scope until it finds no process it has
# not signalled yet, so whatever this started when it is told to end would be ended, too: it starts nothing.
guest() { # disk, file to tell, pipe that nobody writes to
    local disk never
    exec {disk}<>"$1" {never}<>"$3"
    trap 'if printf last-words >&$disk; then
            echo stored >"$2"
        fi
        exit' TERM
    echo running >"$2"
    read -r -u "$never"
}

# Starts one in a scope of machine.slice, as systemd-machined does, which takes this form of name.
start_guest() { # name, disk, directory of results
    systemd-run --quiet --scope --slice=machine.slice --unit="machine-qemu\\x2d$1.scope" \
        bash -c 'guest "$@"' guest "$2" "$3/$1" /srv/never &
    until_holds grep -q running "$3/$1"
    systemctl show --property=After --value "machine-qemu\\x2d$1.scope" >"$3/$1.after"
}

# One guest's client is in the system's systemd, the other's in the user's. There is no libvirtd that could say what a
# guest is, as when it has been stopped, or has crashed, under its guests.
before_shutdown() { # results
    local units=/etc/systemd/system
    install -D -m 644 /src/packaging/systemd/lingering-user.conf $units/user@2001.service.d/nova-quobyte.conf
    install -d $units/machine-.scope.d
    sed s/UID/2001/ /src/packaging/systemd/guests-of-lingering-user.conf >$units/machine-.scope.d/nova-quobyte.conf
    loginctl enable-linger nova
    systemctl daemon-reload
    # It may run since before there was the drop-in.
    systemctl restart user@2001.service
    until_holds test -S /run/user/2001/systemd/private
    connect >/dev/null
    as nova nova-quobyte --launcher systemd-user connect --instance "$guest" \
        --connection-info /srv/another.json >/dev/null
    cat "/proc/$(user_client_pid)/oom_score_adj" >"$1/user.score"
    lowest_oom_score >"$1/lowest.score"
    export -f guest
    mkfifo /srv/never
    start_guest system "$mount/image" "$1"
    start_guest user "$(mount_path another)/image" "$1"
    systemctl stop libvirtd.service 'libvirtd*.socket'
    client_unit >"$1/unit"
}
