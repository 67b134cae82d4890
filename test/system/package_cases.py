# SPDX-License-Identifier: Apache-2.0
"""The package comes, does its work for the service alone, and goes without a trace."""

import json
import re

import programs
from cases import expect

PREFIXES = ("/usr/local", "/usr")
PREFIX = PREFIXES[0]
LIBRARIES = f"{PREFIX}/lib/ollama"
# The administrator's own; the package has its drop-in elsewhere.
DROP_INS = "/etc/systemd/system/ollama.service.d"
STUB = "/usr/lib/x86_64-linux-gnu/libcuda.so.1"
# What dpkg, systemd and the programs themselves write while the test runs. Groups are looked at apart.
PASSING = ("/var/lib/dpkg/", "/var/cache/", "/var/log/", "/tmp/", "/var/tmp/", "/etc/group",
           "/etc/gshadow", "/var/lib/systemd/", "/home/", "/usr/share/ollama/", "/var/lib/private")


def succeed(bench, script, user="root", limit=120):
    """Runs a script that must succeed; its output."""
    job = bench.guest.call(script, user, limit)
    expect(job.code == 0, f"{script} ended with {job.code}: {job.said()}")
    return job.output().decode()


def install_service(bench, prefix=PREFIX):
    succeed(bench, f"/host/bin/install_ollama {prefix}")


def generates(bench):
    """On the GPU, and the same as ever."""
    result = bench.application.generate(bench.guest)
    expect(result.on_gpu, "the service generated on the CPU")
    if bench.tokens is None:
        bench.tokens = result.tokens
    expect(result.tokens == bench.tokens, f"generated {result.tokens}, before it was {bench.tokens}")


def generates_on_the_cpu(bench):
    expect(not bench.application.generate(bench.guest).on_gpu, "the service has a GPU without the package")


def everything(bench):
    """Each file, directory and link of the root file system that is nobody's passing state."""
    names = succeed(bench, r"""
find / -xdev -type d -printf '%p/ %M %u\n' -o -printf '%p %s %M %u %l\n'""").splitlines()
    return {line for line in names if not line.startswith(PASSING)}


def other_device(bench):
    """The ivshmem device that is somebody else's: whether it is enabled, who may use it, its registers."""
    return succeed(bench, """
for device in /sys/bus/pci/devices/0000:00:*; do
    [ "$(cat $device/vendor) $(cat $device/device)" = "0x1af4 0x1110" ] || continue
    cat $device/enable
    stat -c '%n %a %U:%G' $device/resource*
    od -An -tx1 -N64 $device/config
done""")


def other_device_is_left_alone(bench):
    """The rule looks at it, as its id is ours, and changes nothing."""
    expect("resource2 600 root:root" in bench.other, f"there was no other device: {bench.other}")
    succeed(bench, "udevadm trigger --action=add --subsystem-match=pci && udevadm settle")
    expect(other_device(bench) == bench.other, f"it was {bench.other}, it is {other_device(bench)}")


def service_without_package(bench):
    """The control: without the package there is no GPU, with the same device and service."""
    install_service(bench)
    bench.application.prepare(bench.guest)
    # Another driver's stub on the system must not get in the way later.
    succeed(bench, f"install -m 644 /cuda/stubs/libcuda.so {STUB}; ldconfig")
    generates_on_the_cpu(bench)
    bench.before = programs.results(succeed(bench, programs.script()))
    bench.files = everything(bench)
    bench.groups = succeed(bench, "cut -d: -f1 /etc/group | sort")
    bench.other = other_device(bench)


def install(bench):
    succeed(bench, f"dpkg -i /host/lib/{bench.package.name}")
    generates(bench)
    log = succeed(bench, "journalctl -u ollama -b -o cat --no-pager")
    for mark in bench.application.marks():
        expect(re.search(mark, log), f"journalctl -u ollama does not say {mark}")


def programs_say_the_same(bench):
    said = programs.results(succeed(bench, programs.script()))
    for command, before in bench.before.items():
        expect(said[command] == before, f"{command} said\n{before[-800:]}\n"
                                        f"and says with the package\n{said[command][-800:]}")
    expect(len(said) >= 50, f"only {len(said)} programs")


def only_the_service_maps_our_files(bench):
    """While a runner works: of all processes only those of ollama.service map a file of ours, or the BAR."""
    files = succeed(bench, "dpkg -L cubar-ollama").split()
    job = bench.application.begin(bench.guest)
    maps = succeed(bench, "cd /proc && grep -H / [0-9]*/maps 2>/dev/null || true")
    service = set(succeed(bench, "cat /sys/fs/cgroup/system.slice/ollama.service/cgroup.procs").split())
    comms = succeed(bench, "cat /proc/[0-9]*/comm 2>/dev/null || true").split()
    gpu, = json.loads(succeed(bench, "cubar-smi --json"))["gpus"]
    stop_generating(bench, job)
    users = {str(process["pid"]) for process in gpu["processes"]}
    expect(users and users <= service, f"NVML shows {users}, the service is {service}")
    mapped = {}
    for line in maps.splitlines():
        process, _, rest = line.partition("/maps:")
        path = rest[rest.index("/"):].removesuffix(" (deleted)")
        if path in files or re.search(r"/resource[0-9]", path) or "libcuda.so" in path:
            mapped.setdefault(process, set()).add(path)
    expect(mapped, "nobody maps the library, not even the runner")
    expect(set(mapped) <= service, f"mapped outside of the service: {mapped}, the service is {service}")
    expect({"systemd", "sshd", "dbus-daemon"} <= set(comms), f"not looked at: {comms}")


def stop_generating(bench, job):
    """Ends a generation by a restart of the service."""
    succeed(bench, "systemctl restart ollama")
    job.wait(30)
    expect(not bench.application.finished(job), "the generation was over before its time")


def upgrade_under_a_running_service(bench):
    """The runner goes on with the files that it has; the next one has the new ones."""
    new = newer(bench)
    job = bench.application.begin(bench.guest)
    main = succeed(bench, "systemctl show -P MainPID ollama")
    succeed(bench, f"dpkg -i /host/lib/{new}")
    expect(succeed(bench, "systemctl show -P MainPID ollama") == main, "the upgrade restarted the service")
    expect(not job.ended.is_set(), "the upgrade ended the generation, or that was too short")
    stop_generating(bench, job)
    generates(bench)
    version = succeed(bench, "dpkg-query -W -f '${Version}' cubar-ollama")
    expect(version.endswith("+next"), f"installed is {version}")


def newer(bench):
    """The package once more under a later version, made in the guest; its name in /host/lib."""
    name = "newer.deb"
    succeed(bench, f"""
set -e
dpkg-deb -R /host/lib/{bench.package.name} /tmp/newer
sed -i 's/^Version: .*/&+next/' /tmp/newer/DEBIAN/control
dpkg-deb -b -Znone /tmp/newer /host/lib/{name}
rm -r /tmp/newer""")
    return name


def both_directories(bench):
    """ollama as a distribution's package puts it, which the trigger and the service's start find."""
    succeed(bench, f"rm -r {PREFIX}/lib/ollama {PREFIX}/bin/ollama")
    install_service(bench, PREFIXES[1])
    generates(bench)
    succeed(bench, f"rm -r {PREFIXES[1]}/lib/ollama {PREFIXES[1]}/bin/ollama")
    install_service(bench)


def removal(bench):
    """The library is gone, the service goes on without it."""
    succeed(bench, "dpkg -r cubar-ollama")
    generates_on_the_cpu(bench)
    left = succeed(bench, f"find {PREFIX}/lib/ollama /usr/lib -xdev -lname '*cubar*'")
    expect(not left, f"links that lead nowhere: {left}")


def purge(bench):
    succeed(bench, "dpkg -P cubar-ollama")
    files = everything(bench)
    expect(files == bench.files, f"more: {sorted(files - bench.files)}, less: {sorted(bench.files - files)}")
    groups = succeed(bench, "cut -d: -f1 /etc/group | sort")
    expect(groups == bench.groups, f"groups were {bench.groups.split()}, are {groups.split()}")
    # What systemd and udev know goes with the files.
    show = succeed(bench, "systemctl show -P DropInPaths,Environment ollama")
    expect("cubar" not in show, f"systemd still knows {show}")


# What changes the machine otherwise comes after the comparison.
FIRST = (service_without_package, install, programs_say_the_same, other_device_is_left_alone)
LAST = (upgrade_under_a_running_service, both_directories, removal, purge)
