# Where the cloud is and how to reach it. Sourced by the other scripts.
# shellcheck shell=bash

# Not below the checkout: the services' user has to reach it, and a home may be closed to others.
cloud=${NOVA_QUOBYTE_CLOUD:-/opt/nova-quobyte-cloud}
openstack=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
export NOVA_QUOBYTE_CLOUD=$cloud

# The lab's first process, seen from outside: `enter`, `unshare`, then `inside`.
lab_process() {
    local enter unshare
    enter=$(cat "$cloud/lab.pid" 2>/dev/null) && unshare=$(pgrep --parent "$enter" --exact unshare) &&
        pgrep --parent "$unshare"
}

# Runs a command as root in the cloud's namespaces, with what the lab tells its programs.
in_cloud() {
    local type
    read -r _ type <"$openstack/../../target/lab/virt-type"
    nsenter --target "$(lab_process)" --mount --pid --net -- \
        env HOME=/root NOVA_QUOBYTE_LAB=/run/nova-quobyte-lab NOVA_QUOBYTE_VIRT_TYPE="$type" \
        PATH="$cloud/venv/bin:/run/nova-quobyte-lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$@"
}

# Runs a command as the services' user. Inside the cloud.
as_nova() {
    HOME=$cloud/nova setpriv --reuid=nova --regid=nova --init-groups "$@"
}

# Waits for what nobody announces: until the command succeeds, at most 3 minutes.
await() {
    local tries
    for ((tries = 0; tries < 900; tries++)); do
        if "$@" >/dev/null 2>&1; then
            return
        fi
        sleep 0.2
    done
    echo "in vain: $*" >&2
    "$@"
}

as_root() { # script and its arguments
    if [ "$EUID" -ne 0 ]; then
        exec sudo --preserve-env=NOVA_QUOBYTE_CLOUD,TESTS,TYPE,DRIVER,KILLS -- "$@"
    fi
}
