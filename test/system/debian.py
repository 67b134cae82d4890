# SPDX-License-Identifier: Apache-2.0
"""Makes the Debian 12 that the test boots: a root file system, and the initramfs that enters it.

The file system has Debian's packages and a few settings. It is made once for its inputs (this file),
kept in the cache, and never written to: QEMU puts what a guest writes into a file of its own. The
kernel and its modules are those of test/vm; whatever belongs to one run comes over 9p.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import image

HERE = Path(__file__).resolve().parent
VM = HERE.parent / "vm"
SUITE = "bookworm"
MODULES = (*image.MODULES, "virtio_blk", "crc32c_generic", "ext4")
PACKAGES = ("systemd-sysv", "udev", "dbus", "pciutils", "kmod", "procps", "iproute2", "openssh-server",
            "openssh-client", "python3", "wget", "less")
SIZE = "1G"
# Nobody reads them here, and every file is copied into the image.
UNREAD = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
# They would run at times of their own, or wait for a terminal that nobody has.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
          "e2scrub_reap.service", "fstrim.timer", "serial-getty@ttyS0.service", "getty@tty1.service")
SETTINGS = (
    "useradd --create-home --uid 1000 guest",
    "useradd --create-home --uid 1001 stranger",
    "echo cubar-test >/etc/hostname",
    "echo 127.0.0.1 localhost cubar-test >/etc/hosts",
    # As one that has been booted before.
    "echo 00000000000000000000000000c0ba12 >/etc/machine-id",
    "systemctl mask " + " ".join(MASKED),
    "systemctl set-default multi-user.target",
    "rm -f /etc/dpkg/dpkg.cfg.d/99mmdebstrap",
)


def as_root(*command, **options):
    """Runs a command that makes files of other users."""
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    done = subprocess.run([*sudo, *map(str, command)], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise image.ImageError(f"{command[0]} failed:\n{done.stderr[-2000:]}")


def bootstrap(directory):
    """Debian's packages and our settings, as a tree."""
    if shutil.which("mmdebstrap", path=f"{os.environ.get('PATH', '')}:/usr/bin") is None:
        raise image.ImageError("mmdebstrap is missing: install Debian's package of that name")
    as_root("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}",
            '--aptopt=Acquire::Languages "none"', *(f"--dpkgopt=path-exclude={path}" for path in UNREAD),
            *(f'--customize-hook=chroot "$1" sh -ec "{line}"' for line in SETTINGS), SUITE, directory)


def root(cache):
    """The path of the root file system, which is made if it is not there."""
    cache.mkdir(parents=True, exist_ok=True)
    inputs = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    target = cache / f"debian-{inputs}.ext4"
    if target.exists():
        return target
    for outdated in cache.glob("debian-*.ext4"):
        outdated.unlink()
    with tempfile.TemporaryDirectory(prefix="debian-", dir=cache) as name:
        tree = Path(name) / "root"
        try:
            bootstrap(tree)
            partial = Path(name) / "partial"
            as_root("/sbin/mkfs.ext4", "-q", "-d", tree, partial, SIZE)
            as_root("chown", f"{os.getuid()}:{os.getgid()}", partial)
        finally:
            as_root("rm", "-rf", tree)
        partial.rename(target)
    return target


def kernel(cache):
    return image.kernel(cache, MODULES)


def initramfs(path, modules):
    """Mounts, hands the harness's service to systemd, and goes on in the root file system."""
    archive = image.Archive()
    archive.add_file("init", HERE / "init")
    archive.add_file("bin/early", VM / "early")
    archive.add_file("bin/busybox", image.find_program("busybox"))
    archive.add("bin/sh", 0o120777, b"busybox")
    archive.add_file("run/serve", VM / "serve")
    archive.add_file("run/cubar-serve.service", HERE / "cubar-serve.service", 0o100644)
    image.add_modules(archive, modules)
    archive.write(path)
