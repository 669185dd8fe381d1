# shellcheck shell=bash disable=SC2154 # variables are those of site.bash
# Where the template is not installed, a lingering user's own systemd does as well. Sourced.

remove_template() {
    mv "/usr/lib/systemd/system/$template@.service" /srv/
    systemctl daemon-reload
}

restore_template() {
    mv "/srv/$template@.service" /usr/lib/systemd/system/
    systemctl daemon-reload
}

list_user_units() {
    as nova env XDG_RUNTIME_DIR=/run/user/2001 systemctl --user list-units --all --full --plain --no-legend \
        "$template*"
}

no_user_units() {
    [ -z "$(list_user_units)" ]
}

user_client_pid() {
    as nova env XDG_RUNTIME_DIR=/run/user/2001 systemctl --user show --property=MainPID --value "$(user_client_unit)"
}

# The unit of the volume's client, of which there is one.
user_client_unit() {
    list_user_units | cut -d' ' -f1
}

auto_launcher_without_linger_is_direct() {
    write_service compute ""
    systemctl start compute
    is_mounted
    matches "$(control_group "$(pgrep --full '^mount\.quobyte ')")" "*/compute.service"
    systemctl stop compute
    disconnect
    assert_nothing_is_left
}

lingering_user_client_outlives_service() {
    loginctl enable-linger nova
    until_holds test -S /run/user/2001/systemd/private
    write_service compute ""
    systemctl start compute
    is_mounted
    local image
    matches "$(control_group "$(user_client_pid)")" "/user.slice/*/$template-$key-????????????????.service"
    exec {image}<"$mount/image"
    systemctl restart compute
    systemctl kill --signal=KILL compute
    until_holds systemctl is-failed compute
    systemctl reset-failed compute
    read_direct "$image"
}

disconnect_leaves_no_user_units() {
    disconnect
    until_holds no_user_units
    assert_nothing_is_left
}

user_unit_stop_unmounts() {
    connect --launcher systemd-user
    as nova env XDG_RUNTIME_DIR=/run/user/2001 systemctl --user stop "$(user_client_unit)"
    refused is_mounted
    disconnect
    until_holds no_user_units
    assert_nothing_is_left
}

user_launcher_searches_callers_path() {
    install -d /opt/quobyte
    mv /usr/bin/mount.quobyte /opt/quobyte/
    as nova env "PATH=/opt/quobyte:$PATH" nova-quobyte --launcher systemd-user \
        connect --instance "$guest" --connection-info /srv/info.json
    mv /opt/quobyte/mount.quobyte /usr/bin/
    is_mounted
    disconnect
    until_holds no_user_units
    assert_nothing_is_left
}

lazily_unmounted_user_client_keeps_serving() {
    keeps_serving_after_lazy_unmount systemd-user
    until_holds no_user_units
    assert_nothing_is_left
}

# Runs the command as a service of nova's that ends with it, and shows what it printed.
run_in_service() { # settings, arguments...
    local output=/run/nova-service.output settings=$1 status=0
    shift
    rm -f $output
    # shellcheck disable=SC2086 # settings are words
    systemd-run --quiet --wait --collect --unit=repair --property=User=nova $settings \
        --property=StandardOutput=file:$output --property=StandardError=file:$output.error \
        nova-quobyte --json "$@" || status=$?
    cat $output
    return $status
}

connect_in_service() { # settings, options...
    run_in_service "$@" connect --instance "$guest" --connection-info /srv/info.json
}

service_mounts_nothing_that_ends_with_it() {
    local settings answer
    for settings in --property=Type=oneshot --property=Type=exec "--property=Type=oneshot --property=KillMode=mixed"; do
        answer=$(refused connect_in_service "$settings" --launcher direct)
        equal "$(jq -r .error.code <<<"$answer")" mount_failed
        matches "$answer" "*repair.service*"
        assert_nothing_is_left
    done
    # What such a service leaves running may be mounted in it.
    connect_in_service "--property=Type=oneshot --property=KillMode=process" --launcher direct
    is_mounted
    connect
    disconnect
    assert_nothing_is_left
}

oneshot_reconcile_leaves_dead_mount_alone() {
    connect --launcher direct
    pkill --signal KILL --full '^mount\.quobyte '
    local answer
    answer=$(run_in_service --property=Type=oneshot reconcile)
    equal "$(jq -r '[.. | .what? // empty] | unique | join(" ")' <<<"$answer")" failed
    matches "$answer" "*repair.service*"
    is_mounted
    # From where its client is not ended, it is mounted again.
    as nova nova-quobyte --json reconcile | grep -q remounted
    is_mounted
    disconnect
    assert_nothing_is_left
}
