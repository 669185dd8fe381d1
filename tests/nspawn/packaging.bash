# shellcheck shell=bash disable=SC2154 # variables are those of site.bash
# packaging/install on a host where systemd runs. Sourced.

unit_user() {
    systemctl show --property=User --value "$template@$key-0000000000000001.service"
}

# All that an installation consists of, with times.
list_installed() {
    find /usr/bin/nova-quobyte /usr/libexec/nova-quobyte /usr/lib/systemd/system/"$template"* /etc/polkit-1/rules.d \
        /usr/share/polkit-1/rules.d /run/nova-quobyte /usr/local -printf '%p %u %m %T@\n'
}

install_keeps_service_user() {
    useradd vmops
    SERVICE_USER=vmops /src/packaging/install
    /src/packaging/install
    equal "$(unit_user)" vmops
    equal "$(stat --format=%U /run/nova-quobyte)" vmops
    equal "$(stat --format=%U /run/nova-quobyte/launch)" vmops
    SERVICE_USER=nova /src/packaging/install
    equal "$(unit_user)" nova
    connect
    disconnect
    assert_nothing_is_left
}

# Whether polkit lets a user start a client's unit, which then fails for want of a request.
may_start() { # user
    local output
    output=$(refused as "$1" systemctl --no-ask-password start "$template@$key-0000000000000001.service" 2>&1) || fail "$output"
    refused is_denied "$output"
}

# More often in a row than systemd lets polkit be restarted.
new_rule_holds_once_installed() {
    local other=stranger user=nova round
    for round in {1..12}; do
        read -r user other <<<"$other $user"
        SERVICE_USER=$user /src/packaging/install
        may_start "$user" || fail "$user in round $round"
        refused may_start "$other" || fail "$other in round $round"
    done
    equal "$user" nova
    until_holds no_units
}

reinstall_never_denies_service_user() {
    connect
    local instance installs
    instance=$(client_unit)
    (
        for _ in {1..10}; do
            /src/packaging/install
        done
    ) &
    installs=$!
    while kill -0 $installs 2>/dev/null; do
        as nova systemctl --no-ask-password start "$instance"
    done
    wait $installs
    disconnect
    assert_nothing_is_left
}

install_for_missing_user_writes_nothing() {
    local before
    before=$(list_installed)
    refused env SERVICE_USER=nobody-here /src/packaging/install
    equal "$(list_installed)" "$before"
}

install_refuses_user_change_while_connected() {
    connect
    local before
    before=$(list_installed)
    refused env SERVICE_USER=stranger /src/packaging/install
    equal "$(list_installed)" "$before"
    # Nor are they given away where nothing was installed for that user.
    mv "/usr/lib/systemd/system/$template@.service" /srv/
    refused env SERVICE_USER=stranger /src/packaging/install
    mv "/srv/$template@.service" /usr/lib/systemd/system/
    equal "$(list_installed)" "$before"
    is_mounted
    # An upgrade goes on under them.
    /src/packaging/install
    is_mounted
    disconnect
    assert_nothing_is_left
}

install_below_other_prefix_leaves_one_rule() {
    local instance output
    SERVICE_USER=stranger PREFIX=/usr/local /src/packaging/install
    SERVICE_USER=nova PREFIX=/usr /src/packaging/install
    connect
    instance=$(client_unit)
    output=$(refused as stranger systemctl --no-ask-password stop "$instance" 2>&1)
    is_denied "$output" || fail "$output"
    is_mounted
    disconnect
    assert_nothing_is_left
}

# The service user holds up nothing with what it may leave for its units.
fifo_as_request_does_not_hold_up_unit() {
    local name=$key-0000000000000001
    as nova mkfifo "/run/nova-quobyte/launch/$name.request"
    refused as nova timeout 30 systemctl --no-ask-password start "$template@$name.service"
    until_holds no_units
    rm "/run/nova-quobyte/launch/$name.request"
    # Nor with where the outcome is to be.
    as nova mkfifo "/run/nova-quobyte/launch/$name.tmp-outcome"
    refused as nova timeout 30 systemctl --no-ask-password start "$template@$name.service"
    until_holds no_units
    rm -f "/run/nova-quobyte/launch/$name".*
    assert_nothing_is_left
}

waits_of_units_are_finite() {
    local property
    for property in TimeoutStartUSec TimeoutStopUSec; do
        refused equal "$(systemctl show --property=$property --value "$template@$key-0000000000000001.service")" infinity
    done
}
