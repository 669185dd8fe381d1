# shellcheck shell=bash disable=SC2154 # variables are those of site.bash
# The client lives in a unit of its own, as long as its mount and no longer. Sourced.

client_survives_service_restart_and_kill() {
    write_service compute ""
    systemctl start compute
    is_mounted
    local client image
    client=$(client_pid)
    exec {image}<"$mount/image"
    read_direct "$image"
    systemctl restart compute
    systemctl kill --signal=KILL compute
    until_holds systemctl is-failed compute
    systemctl start compute
    systemctl stop compute
    read_direct "$image"
    equal "$(client_pid)" "$client"
    exec {image}<&-
    disconnect
    assert_nothing_is_left
}

direct_client_dies_with_service() {
    write_service compute "--launcher direct"
    systemctl start compute
    is_mounted
    local image
    exec {image}<"$mount/image"
    systemctl stop compute
    refused read_direct "$image"
    exec {image}<&-
    disconnect
    assert_nothing_is_left
}

# What a unit gets that asks for -900: nothing where not even root may lower a score, as in some containers.
lowest_oom_score() {
    bash -c 'echo -900 >/proc/self/oom_score_adj; cat /proc/self/oom_score_adj' 2>/dev/null
}

client_runs_as_service_user_in_own_unit() {
    connect
    local client instance
    client=$(client_pid)
    instance=$(client_unit)
    matches "$instance" "$template@$key-????????????????.service"
    matches "$(tr '\0' ' ' <"/proc/$client/cmdline")" "mount.quobyte * registry/volume $mount "
    equal "$(stat --format=%U "/proc/$client")" nova
    equal "$(control_group "$client")" \
        "/system.slice/system-nova\\x2dquobyte\\x2dmount.slice/$instance"
    equal "$(readlink "/proc/$client/ns/mnt")" "$(readlink /proc/1/ns/mnt)"
    equal "$(systemctl show --property=OOMScoreAdjust --value "$instance")" -900
    equal "$(cat "/proc/$client/oom_score_adj")" "$(lowest_oom_score)"
    disconnect
    assert_nothing_is_left
}

disconnect_leaves_nothing_behind() {
    connect
    disconnect
    assert_nothing_is_left
}

dead_client_leaves_no_unit_and_is_replaced() {
    connect
    kill -KILL "$(client_pid)"
    until_holds no_units
    equal "$(connect | jq -r .mount_path)" "$mount"
    is_mounted
    disconnect
    assert_nothing_is_left
}

unit_stop_unmounts_idle_share() {
    connect
    systemctl stop "$(client_unit)"
    refused is_mounted
    until_holds no_units
    connect
    disconnect
    assert_nothing_is_left
}

unit_stop_unmounts_after_lost_record() {
    connect
    rm "/run/nova-quobyte/shares/$key.json"
    connect
    systemctl stop "$(client_unit)"
    refused is_mounted
    until_holds no_units
    disconnect
    assert_nothing_is_left
}

lazily_unmounted_client_keeps_serving() {
    keeps_serving_after_lazy_unmount systemd-system
    assert_nothing_is_left
}

old_unit_stop_does_not_affect_new_client() {
    connect
    local image old
    old=$(client_unit)
    exec {image}<"$mount/image"
    umount --lazy "$mount"
    connect
    systemctl stop "$old"
    refused read_direct "$image"
    is_mounted
    exec {image}<&-
    exec {image}<"$mount/image"
    read_direct "$image"
    exec {image}<&-
    disconnect
    assert_nothing_is_left
}

only_client_is() { # process
    [ "$(pgrep --full '^mount\.quobyte ')" = "$1" ]
}

# Whatever is called, a client whose mount somebody has unmounted lazily serves what is open on it.
keeps_serving_after_lazy_unmount() { # launcher
    connect --launcher "$1"
    local image client status=0
    exec {image}<"$mount/image"
    client=$(pgrep --full '^mount\.quobyte ')
    umount --lazy "$mount"
    read_direct "$image"
    echo standin.fault=unreachable >>/etc/quobyte/client.cfg
    connect --launcher "$1" || status=$?
    as nova nova-quobyte --json --launcher "$1" reconcile
    sed -i /standin.fault/d /etc/quobyte/client.cfg
    equal $status 4
    read_direct "$image"
    as nova nova-quobyte --json --launcher "$1" reconcile
    is_mounted
    read_direct "$image"
    connect --launcher "$1"
    disconnect
    refused is_mounted
    read_direct "$image"
    connect --launcher "$1"
    is_mounted
    disconnect
    until_holds only_client_is "$client"
    read_direct "$image"
    exec {image}<&-
    until_holds refused test -e "/proc/$client"
}

client_error_is_reported_and_unit_removed() {
    echo standin.fault=unreachable >>/etc/quobyte/client.cfg
    local answer status=0
    answer=$(connect) || status=$?
    sed -i /standin.fault/d /etc/quobyte/client.cfg
    equal $status 4
    equal "$(jq -r .error.code <<<"$answer")" mount_failed
    matches "$answer" "*could not connect*"
    assert_nothing_is_left
}

mount_timeout_ends_client_and_unit() {
    echo standin.fault=hang-before-mount >>/etc/quobyte/client.cfg
    local answer status=0
    answer=$(connect --mount-timeout 2) || status=$?
    sed -i /standin.fault/d /etc/quobyte/client.cfg
    equal $status 5
    equal "$(jq -r .error.code <<<"$answer")" mount_timeout
    assert_nothing_is_left
}

killed_caller_does_not_block_next_connect() {
    echo standin.fault=hang-before-mount >>/etc/quobyte/client.cfg
    connect &
    until_holds pgrep --full '^mount\.quobyte '
    kill -KILL "$(pgrep --full '^nova-quobyte ')"
    sed -i /standin.fault/d /etc/quobyte/client.cfg
    connect
    is_mounted
    disconnect
    assert_nothing_is_left
}

system_launcher_requires_default_state_dir() {
    local answer status=0
    answer=$(connect --state-dir /tmp/state --launcher systemd-system) || status=$?
    equal $status 4
    matches "$answer" "*/run/nova-quobyte/launch*"
    connect --state-dir /tmp/state
    equal "$(list_units)" ""
    disconnect --state-dir /tmp/state
    assert_nothing_is_left
}
