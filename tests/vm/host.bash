# shellcheck shell=bash
# A plain libvirt host, for a case that needs the machine's own AppArmor, which a lab does without. Sourced.

state=/var/lib/nova
export_url=quobyte://registry/openstack-volumes

check() { # what is promised, command...
    if "${@:2}"; then
        echo "ok: $1"
    else
        echo "not so: $1"
        exit 1
    fi
}

as_nova() {
    setpriv --reuid=nova --regid=nova --init-groups -- env HOME=$state PATH="$PATH" "$@"
}

nova_quobyte() {
    as_nova nova-quobyte --config $state/nova.conf "$@"
}

# The programs, the user that runs them, a share with the images named, and libvirtd.
make_host() { # image...
    install -t /usr/bin /src/target/release/{nova-quobyte,quobyte-client-unit,quobyte-share-helper,quobyte-standin}
    ln -sf quobyte-standin /usr/bin/mount.quobyte
    groupadd --force fuse
    useradd --create-home --home-dir $state --groups fuse,libvirt nova
    chmod 755 $state
    install -d -o nova -g nova /run/nova-quobyte
    echo user_allow_other >/etc/fuse.conf
    chgrp fuse /dev/fuse
    chmod 660 /dev/fuse
    mountpoint --quiet /sys/fs/fuse/connections || mount -t fusectl fusectl /sys/fs/fuse/connections
    mount --make-rshared /
    trap end_host EXIT

    as_nova mkdir -p $state/{store/openstack-volumes,mnt}
    echo "store=$state/store" >$state/client.cfg
    printf '%s\n' '[libvirt]' "quobyte_mount_point_base = $state/mnt" "quobyte_client_cfg = $state/client.cfg" \
        >$state/nova.conf
    local image
    for image in "$@"; do
        as_nova truncate --size=16M "$state/store/openstack-volumes/$image"
        chmod 666 "$state/store/openstack-volumes/$image"
    done

    apparmor_parser --replace /etc/apparmor.d/usr.sbin.libvirtd /etc/apparmor.d/usr.lib.libvirt.virt-aa-helper
    printf '%s\n' 'unix_sock_group = "libvirt"' 'unix_sock_rw_perms = "0770"' 'auth_unix_rw = "none"' >/etc/libvirt/libvirtd.conf
    mkdir -p /run/libvirt
    virtlogd --daemon
    libvirtd --daemon
    virsh --quiet --connect qemu:///system uri >/dev/null
}

# Leaves nothing that takes time from the next case.
end_host() {
    virsh --quiet --connect qemu:///system destroy guest || true
    local daemon
    for daemon in libvirtd virtlogd; do
        kill "$(cat /run/$daemon.pid)" || true
    done
    umount --all --lazy --types fuse.quobyte
}

# Lets go of the share's mount as a repair does, though its client lives, and mounts the share anew in its place.
mount_anew() { # mount point
    as_nova fusermount3 -u -z "$1"
    as_nova mount.quobyte --disable-xattrs -c $state/client.cfg -o allow_other $export_url "$1"
}

# A guest of the lab's kernel, `guest`, that takes commands.
start_guest() {
    local directory=/var/tmp/guest
    mkdir -m 755 $directory
    sed -e "s|@TYPE@|qemu|; s|@NAME@|guest|; s|@UUID@|$(cat /proc/sys/kernel/random/uuid)|" \
        -e "s|@KERNEL@|/src/target/lab/guest/vmlinuz|; s|@INITRAMFS@|/src/target/lab/guest/initramfs|" \
        -e "s|@CONSOLE@|$directory/console|; s|@COMMANDS@|$directory/commands|" /src/tests/lab/domain.xml >$directory/domain.xml
    coproc GUEST { exec socat STDIO "UNIX-LISTEN:$directory/commands,mode=666"; }
    virsh --quiet --connect qemu:///system define $directory/domain.xml
    virsh --quiet --connect qemu:///system start guest
    local line
    read -r -t 1200 -u "${GUEST[0]}" line && [ "$line" = ready ]
}

in_guest() { # command line
    local status length
    printf '%s\n' "$1" >&"${GUEST[1]}"
    read -r -t 1200 -u "${GUEST[0]}" status length
    head -c "$length" <&"${GUEST[0]}"
    return "$status"
}
