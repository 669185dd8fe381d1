# shellcheck shell=bash
# The host under test: nova-quobyte installed as docs/OPERATIONS.md has it, and a volume of the stand-in client. Sourced.

store=/srv/store
base=/var/lib/nova/mnt
fault=/srv/fault
guest=a11ce000-0000-4000-8000-000000000001
template=nova-quobyte-mount
key=
mount=

install_everything() {
    SERVICE_USER=nova /src/packaging/install
    install /src/target/release/quobyte-standin /usr/bin/mount.quobyte
    ln -s mount.quobyte /usr/bin/umount.quobyte
    install -d -o nova -g nova /var/lib/nova $base $store $store/volume $store/another
    install -o nova -g nova -m 644 /dev/null $fault
    install -d /etc/quobyte
    printf '%s\n' "store=$store" "standin.control=$fault" >/etc/quobyte/client.cfg
    head -c 1M /dev/urandom >$store/volume/image
    chown nova:nova $store/volume/image
    chmod 666 $store/volume/image
    cp --preserve=all $store/volume/image $store/another/image
    connection_info volume >/srv/info.json
    connection_info another >/srv/another.json
    mount=$(mount_path volume)
    key=$(printf %s "$mount" | md5sum | cut -d' ' -f1)
}

connection_info() { # volume
    cat <<JSON
{"driver_volume_type": "quobyte", "data": {"export": "quobyte://registry/$1", "name": "image", "format": "raw"}}
JSON
}

mount_path() { # volume
    echo "$base/$(printf registry/%s "$1" | md5sum | cut -d' ' -f1)"
}

as() { # user, command...
    setpriv --reuid="$1" --regid="$1" --init-groups --reset-env -- "${@:2}"
}

# The command, as nova. Options first, since connect and disconnect are what is done.
connect() {
    as nova nova-quobyte --json "$@" connect --instance $guest --connection-info /srv/info.json
}

disconnect() {
    as nova nova-quobyte --json "$@" disconnect --instance $guest --connection-info /srv/info.json
}

is_mounted() {
    grep -q " $mount .* - fuse.quobyte quobyte@registry/volume " /proc/self/mountinfo
}

# The unit of the volume's client, of which there is one.
client_unit() {
    systemctl list-units --full --plain --no-legend "$template@$key-*" | cut -d' ' -f1
}

client_pid() {
    systemctl show --property=MainPID --value "$(client_unit)"
}

# The host's kernel may have hierarchies of the old kind besides, which systemd here does not use.
control_group() { # process
    sed -n 's/^0:://p' "/proc/$1/cgroup"
}

# Units of ours that systemd still has, whatever became of them.
list_units() {
    systemctl list-units --all --full --plain --no-legend "$template*" | grep -v '\.slice' || true
}

# Nothing of a client is left: no mount, unit, process, record or request.
assert_nothing_is_left() {
    refused is_mounted
    until_holds no_units
    equal "$(pgrep --full '^mount\.quobyte ')" ""
    equal "$(find /run/nova-quobyte -type f -not -path '*/locks/*')" ""
    equal "$(systemctl list-units --failed --plain --no-legend "$template*")" ""
}

no_units() {
    [ -z "$(list_units)" ]
}

set_fault() {
    echo "$1" >$fault
}

# A service of nova's with the settings given, which connects and stays.
write_service() { # name, connect's options, settings...
    local name=$1 options=$2
    shift 2
    printf '%s\n' '[Service]' User=nova "$@" \
        "ExecStartPre=-/usr/bin/nova-quobyte --json $options connect --instance $guest --connection-info /srv/info.json" \
        "ExecStart=/bin/sleep infinity" >"/run/systemd/system/$name.service"
    systemctl daemon-reload
}

# Reads the next block of an open image past every cache.
read_direct() { # file descriptor
    local position
    position=$(awk '$1 == "pos:" { print $2 }' "/proc/self/fdinfo/$1")
    dd bs=4096 count=1 iflag=direct status=none <&"$1" | cmp --bytes=4096 --ignore-initial=0:"$position" - $store/volume/image
}
