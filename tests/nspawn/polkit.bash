# shellcheck shell=bash disable=SC2154 # variables are those of site.bash
# The polkit rule lets nova start and stop the template's instances, and nothing else. Sourced.

# What nova may not do, one attempt a line. Each would succeed for root, or fail for another reason than being refused,
# which the test tells apart.
denied_commands() { # instance
    local instance=$1 name
    name=${instance#*@}
    name=${name%.service}
    cat <<ATTEMPTS
systemctl start other.service
systemctl stop other.service
systemctl start $template@other.service
systemctl start $template@$key.service
systemctl start $template@$key-.service
systemctl start $template@${name}0.service
systemctl start $template@${name^^}.service
systemctl start $template@${name/-/_}.service
systemctl start x$instance
systemctl start $template-$name.service
systemctl restart $instance
systemctl reload $instance
systemctl try-restart $instance
systemctl reload-or-restart $instance
systemctl kill $instance
systemctl reset-failed $instance
systemctl freeze $instance
systemctl clean $instance
systemctl set-property --runtime $instance CPUWeight=1
systemctl enable $instance
systemctl disable $instance
systemctl mask $instance
systemctl link /srv/other.service
systemctl daemon-reload
systemctl daemon-reexec
systemctl set-environment A=b
systemctl isolate rescue.target
systemctl poweroff
systemd-run true
systemd-run --unit=$instance true
systemd-run --scope true
systemd-run --uid=0 true
ATTEMPTS
}

polkit_allows_nova_to_start_and_stop_units() {
    connect
    local instance
    instance=$(client_unit)
    as nova systemctl --no-ask-password start "$instance"
    as nova systemctl --no-ask-password stop "$instance"
    refused is_mounted
    disconnect
}

polkit_denies_other_users() {
    local verb output instance
    connect
    instance=$(client_unit)
    for verb in start stop; do
        output=$(refused as stranger systemctl --no-ask-password $verb "$instance" 2>&1)
        is_denied "$output"
    done
    is_mounted
    disconnect
    assert_nothing_is_left
}

polkit_denies_nova_all_other_actions() {
    printf '%s\n' '[Service]' 'ExecStart=/bin/sleep infinity' | tee /srv/other.service >/run/systemd/system/other.service
    systemctl daemon-reload
    systemctl start other.service
    connect
    local client output command
    client=$(client_pid)
    while read -r -a command; do
        output=$(refused as nova "${command[@]}" 2>&1 </dev/null) || fail "${command[*]}: $output"
        is_denied "$output" || fail "${command[*]}: $output"
    done < <(denied_commands "$(client_unit)")
    systemctl is-active other.service
    equal "$(client_pid)" "$client"
    systemctl stop other.service
    disconnect
    assert_nothing_is_left
}

# systemd 257 refuses a transient unit of a loaded unit's name before it asks polkit.
is_denied() {
    [[ $1 == *"Interactive authentication required"* || $1 == *"Access denied"* || $1 == *"Permission denied"* ||
        $1 == *"already loaded or has a fragment file"* ]]
}
