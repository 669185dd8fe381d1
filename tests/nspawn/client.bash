# shellcheck shell=bash disable=SC2154 # variables are those of site.bash
# The client lives in a unit of its own, as long as its mount and no longer. Sourced.

a_restart_and_a_kill_of_the_service_leave_its_client_and_open_files_alone() {
    service compute ""
    systemctl start compute
    is_mounted
    local client image
    client=$(client)
    exec {image}<"$mount/image"
    read_direct "$image"
    systemctl restart compute
    systemctl kill --signal=KILL compute
    until_holds systemctl is-failed compute
    systemctl start compute
    systemctl stop compute
    read_direct "$image"
    equal "$(client)" "$client"
    exec {image}<&-
    disconnect
    assert_nothing_is_left
}

a_client_that_the_service_starts_itself_dies_with_it() {
    service compute "--launcher direct"
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

the_client_runs_as_the_service_user_in_its_own_units_control_group() {
    connect
    local client instance
    client=$(client)
    instance=$(unit)
    matches "$instance" "$template@$key-????????????????.service"
    matches "$(tr '\0' ' ' <"/proc/$client/cmdline")" "mount.quobyte * registry/volume $mount "
    equal "$(stat --format=%U "/proc/$client")" nova
    equal "$(control_group "$client")" \
        "/system.slice/system-nova\\x2dquobyte\\x2dmount.slice/$instance"
    equal "$(readlink "/proc/$client/ns/mnt")" "$(readlink /proc/1/ns/mnt)"
    disconnect
    assert_nothing_is_left
}

after_disconnect_nothing_is_left() {
    connect
    disconnect
    assert_nothing_is_left
}

a_client_that_crashed_leaves_no_unit_and_is_replaced() {
    connect
    kill -KILL "$(client)"
    until_holds no_units
    equal "$(connect | jq -r .mount_path)" "$mount"
    is_mounted
    disconnect
    assert_nothing_is_left
}

stopping_an_idle_clients_unit_unmounts() {
    connect
    systemctl stop "$(unit)"
    refused is_mounted
    until_holds no_units
    connect
    disconnect
    assert_nothing_is_left
}

stopping_it_unmounts_although_its_record_was_lost() {
    connect
    rm "/run/nova-quobyte/shares/$key.json"
    connect
    systemctl stop "$(unit)"
    refused is_mounted
    until_holds no_units
    disconnect
    assert_nothing_is_left
}

a_client_left_without_its_mount_serves_on_whatever_is_called() {
    serves_on_whatever_is_called systemd-system
    assert_nothing_is_left
}

stopping_the_unit_of_such_a_client_takes_nothing_from_the_next() {
    connect
    local image old
    old=$(unit)
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
serves_on_whatever_is_called() { # launcher
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

what_the_client_says_reaches_the_caller_and_its_unit_is_gone() {
    echo standin.fault=unreachable >>/etc/quobyte/client.cfg
    local answer status=0
    answer=$(connect) || status=$?
    sed -i /standin.fault/d /etc/quobyte/client.cfg
    equal $status 4
    equal "$(jq -r .error.code <<<"$answer")" mount_failed
    matches "$answer" "*could not connect*"
    assert_nothing_is_left
}

a_client_that_hangs_is_ended_at_the_deadline_with_its_unit() {
    echo standin.fault=hang-before-mount >>/etc/quobyte/client.cfg
    local answer status=0
    answer=$(connect --mount-timeout 2) || status=$?
    sed -i /standin.fault/d /etc/quobyte/client.cfg
    equal $status 5
    equal "$(jq -r .error.code <<<"$answer")" mount_timeout
    assert_nothing_is_left
}

a_caller_that_is_killed_while_the_client_starts_hinders_nobody() {
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

another_state_directory_is_not_for_the_templates_units() {
    local answer status=0
    answer=$(connect --state-dir /tmp/state --launcher systemd-system) || status=$?
    equal $status 4
    matches "$answer" "*/run/nova-quobyte/launch*"
    connect --state-dir /tmp/state
    equal "$(units)" ""
    disconnect --state-dir /tmp/state
    assert_nothing_is_left
}
