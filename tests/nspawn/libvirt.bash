# shellcheck shell=bash
# What the command relies on of a libvirtd that systemd has activated. Sourced.

# Its socket does not tell which process it is: systemd has made that.
libvirtd_holds_lock_on_pid_file() {
    systemctl start libvirtd
    local inode holder
    inode=$(stat --format=%i /run/libvirtd.pid)
    holder=$(awk -v file=":$inode\$" '$2 == "POSIX" && $6 ~ file { print $5 }' /proc/locks)
    equal "$holder" "$(systemctl show --property=MainPID --value libvirtd)"
}
