# shellcheck shell=bash disable=SC2154 # variables are those of site.bash
# A service with a helper that a client has left in uninterruptible sleep can be stopped and started. Sourced.

stuck_helper() {
    local process
    for process in $(pgrep --exact quobyte-share-h); do
        if [ "$(awk '$1 == "State:" { print $2 }' "/proc/$process/status")" = D ]; then
            echo "$process"
        fi
    done
}

stuck_helper_does_not_block_service_restart() {
    connect
    write_service compute "--probe-timeout 1" TimeoutStopSec=2
    set_fault no-answer
    systemctl start compute
    local helper
    helper=$(stuck_helper)
    matches "$helper" "[0-9]*"
    matches "$(control_group "$helper")" "*/compute.service"
    systemctl stop compute
    # systemd waits for TimeoutStopSec after each of SIGTERM and SIGKILL, and no longer: it has not been freed meanwhile.
    equal "$(systemctl show --property=Result --value compute)" timeout
    equal "$(stuck_helper)" "$helper"
    systemctl start compute
    systemctl is-active compute
    equal "$(stuck_helper)" "$helper"
    set_fault ""
    systemctl stop compute
}

stuck_helper_is_freed_by_killing_client() {
    local helper
    helper=$(stuck_helper)
    kill -KILL "$(client_pid)"
    until_holds refused test -e "/proc/$helper"
    systemctl reset-failed compute || true
    connect
    is_mounted
    disconnect
    assert_nothing_is_left
}
