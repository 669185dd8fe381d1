# shellcheck shell=bash disable=SC2154 # variables are those of site.bash
# Guests that still run when the container is shut down; `after` judges what came of them. Sourced.

# Stands in for a guest, which takes its time to shut down and writes to its disk last of all.
guest() { # disk, file to tell
    local disk
    exec {disk}<>"$1"
    trap 'sleep 2
        if printf last-words | dd bs=10 count=1 conv=notrunc,fsync status=none >&$disk; then
            echo stored >"$2"
        fi
        exit' TERM
    echo running >"$2"
    sleep infinity &
    wait
}

# Starts one in a scope of machine.slice, as systemd-machined does.
start_guest() { # name, disk, directory of results, properties...
    systemd-run --quiet --scope --slice=machine.slice --unit="$1" "${@:4}" bash -c 'guest "$@"' guest "$2" "$3/$1" &
    until_holds grep -q running "$3/$1"
}

# One guest's client is in the system's systemd, and nothing but the slice says what the guest is. The other's is in
# the user's systemd, where it takes what libvirt says of a guest.
before_shutdown() { # results
    local conf=/etc/systemd/system/user@2001.service.d/nova-quobyte.conf
    install -D -m 644 /src/packaging/systemd/lingering-user.conf $conf
    loginctl enable-linger nova
    systemctl daemon-reload
    until_holds test -S /run/user/2001/systemd/private
    connect >/dev/null
    as nova nova-quobyte --launcher systemd-user connect --instance "$guest" \
        --connection-info /srv/another.json >/dev/null
    export -f guest
    start_guest system-guest "$mount/image" "$1"
    start_guest user-guest "$(mount_path another)/image" "$1" \
        --property=After=libvirtd.service --property=Before=virt-guest-shutdown.target
    echo "$template@$key.service" >"$1/unit"
}
