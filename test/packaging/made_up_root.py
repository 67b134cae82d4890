# SPDX-License-Identifier: Apache-2.0
"""A root directory just large enough for packages' scripts: BusyBox, libc, and programs that only
write down how they were called."""

import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path

RECORDED = ("systemctl", "udevadm", "deb-systemd-invoke", "deb-systemd-helper")
# Makes the groups that a file of sysusers.d names.
SYSUSERS = r"""
case $1 in /*) file=$1 ;; *) file=/usr/lib/sysusers.d/$1 ;; esac
for group in $(sed -n 's/^g \([a-z-]*\) .*/\1/p' "$file"); do
    grep -q "^$group:" /etc/group || echo "$group:x:900:" >>/etc/group
done"""
# What other packages of every distribution have, and so neither comes nor goes with ours.
DISTRIBUTION = ("usr/sbin", "usr/lib/systemd/system", "usr/lib/udev/rules.d", "usr/lib/sysusers.d",
                "usr/share/doc", "usr/share/man/man1", "usr/share/man/man5", "usr/share/man/man8",
                "usr/share/bash-completion/completions",
                "usr/share/zsh/site-functions", "usr/share/zsh/vendor-completions")
APPLETS = ("cat", "cp", "grep", "ls", "mkdir", "rm", "rmdir", "sed", "sh")
LIBC = ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6")


def as_root(*command):
    """chroot() needs a root; a user namespace's will do."""
    prefix = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]
    done = subprocess.run([*prefix, *map(str, command)], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


class MadeUpRoot:
    """`systemd` says whether it is one where systemd and udev run."""

    def __init__(self, directory, systemd=True):
        self.path = Path(directory)
        for name in ("bin", "usr/bin", "dev", "etc", "run", "sys/bus/pci/devices", "tmp",
                     "usr/lib", "usr/local/lib", "var/cache", "var/lib", "var/tmp"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        for name in DISTRIBUTION:
            (self.path / name).mkdir(parents=True)
            (self.path / name / "of-others").touch()
        shutil.copy(shutil.which("busybox"), self.path / "bin" / "busybox")
        for applet in APPLETS:
            (self.path / "bin" / applet).symlink_to("busybox")
        for name in LIBC:
            (self / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, self / name)
        for name in RECORDED:
            self.program(name, "")
        self.program("systemd-sysusers", SYSUSERS)
        self.program("groupdel", 'sed -i "/^$1:/d" /etc/group')
        self.program("getent", 'grep "^$2:" "/etc/$1"')
        (self.path / "etc/group").write_text("root:x:0:\n", encoding="utf-8")
        (self.path / "dev/null").touch()
        if systemd:
            (self.path / "run/systemd/system").mkdir(parents=True)
            (self.path / "run/udev").mkdir()
            self._socket("run/udev/control")

    def _socket(self, name):
        # A socket's path is short, and the made-up root's need not be.
        here = os.open(".", os.O_RDONLY)
        try:
            os.chdir((self.path / name).parent)
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(Path(name).name)
        finally:
            os.fchdir(here)
            os.close(here)

    def program(self, name, text):
        path = self.path / "usr/bin" / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>/calls\n{text}\n', encoding="utf-8")
        path.chmod(0o755)

    def calls(self):
        """What the recorded programs were asked for since the last look."""
        path = self.path / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def __truediv__(self, name):
        return self.path / str(name).lstrip("/")

    def snapshot(self, ignored=("var/lib/dpkg", "var/lib/rpm", "dev/null", "bin")):
        """Every file with its kind, mode and content, but what a package manager knows itself."""
        found = {}
        for path in sorted(self.path.rglob("*")):
            name = str(path.relative_to(self.path))
            if name.startswith(ignored):
                continue
            status = path.lstat()
            content = (os.readlink(path) if path.is_symlink() else
                       path.read_bytes() if stat.S_ISREG(status.st_mode) else None)
            found[name] = (stat.filemode(status.st_mode), content)
        return found
