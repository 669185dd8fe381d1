"""The lab that a benchmark runs in."""

import grp
import os
import pathlib
import platform
import pwd
import subprocess

LAB = pathlib.Path(os.environ["NOVA_QUOBYTE_LAB"])
HOME = LAB / "nova" / "bench"


def as_nova():
    """The uid, gid and groups that a process of nova's runs with."""
    nova = pwd.getpwnam("nova")
    groups = [group.gr_gid for group in grp.getgrall() if "nova" in group.gr_mem]
    return {"user": nova.pw_uid, "group": nova.pw_gid, "extra_groups": groups}


def give_to_nova(path):
    subprocess.run(["chown", "-R", "nova:nova", path], check=True)


def output(*command, **options):
    """What a command wrote; an error of its own when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def machine():
    """What the numbers were measured on."""
    processor = [line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                 if line.startswith("model name")]
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": f"{os.cpu_count()} x {processor[0] if processor else platform.machine()}",
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "qemu": output("qemu-system-x86_64", "--version").split()[3],
        "libvirt": output("virsh", "--version").strip(),
        "guests": os.environ["NOVA_QUOBYTE_VIRT_TYPE"],
    }
