# SPDX-License-Identifier: Apache-2.0
"""Everyday programs whose results must not depend on the package, and what they said.

Each says the same each time that it is run on an unchanged machine.
"""

COMMANDS = (
    "ls -l /usr/lib/x86_64-linux-gnu",
    "cat /etc/os-release",
    "ps -o comm= -p 1",
    "ssh -V",
    "sshd -T",
    "ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub",
    "python3 -c 'import ctypes, json, ssl; print(json.dumps(ssl.OPENSSL_VERSION))'",
    "systemctl is-enabled ssh ollama",
    "systemctl is-active ssh dbus",
    "systemctl show -p FragmentPath,DropInPaths,Environment,Type ssh",
    "systemctl --failed --no-legend",
    "journalctl --version",
    "systemd-detect-virt",
    "udevadm --version",
    "busctl --version",
    "apt-get --version",
    "apt-config dump",
    "dpkg -s bash",
    "dpkg -L coreutils",
    "lspci -v",
    "lspci -nn -t",
    "lsmod",
    "modinfo --version",
    "uname -a",
    "id",
    "whoami",
    "hostname",
    "mount",
    "findmnt -n -o TARGET,FSTYPE",
    "lsblk",
    "lscpu",
    "ip address",
    "ip route",
    "ss -ltnH",
    "free --version",
    "uptime --version",
    "find /etc/ssh /etc/systemd/network",
    "grep -c . /etc/passwd",
    "sed -n 1p /etc/hosts",
    "mawk 'BEGIN { print 6 * 7 }'",
    "perl -e 'print $], $/'",
    "bash -c 'echo $BASH_VERSION'",
    "sort /etc/shells",
    "tar --version",
    "sh -c 'echo text | gzip -c | gzip -dc'",
    "sha256sum /usr/bin/env /lib64/ld-linux-x86-64.so.2",
    "stat -c '%n %a %U %s' /etc/ld.so.conf /etc/ld.so.cache /usr/bin/ldd",
    "ldconfig -p",
    "ldd /usr/bin/python3 | sed 's/(0x.*//'",
    "env",
    "getent hosts localhost",
    "less --version",
    "wget --version",
    "date +%Z",
    "kill -l",
    "su guest -c 'id -un'",
)
DIVIDER = "=== "


def script():
    """Runs all; each program's output and exit code behind a line that names it."""
    parts = [f"echo '{DIVIDER}{number}'; {{ {command}; }} 2>&1; echo code $?"
             for number, command in enumerate(COMMANDS)]
    return "\n".join(parts)


def results(output):
    """What each command said."""
    parts = output.split(DIVIDER)[1:]
    return dict(zip(COMMANDS, (part.split("\n", 1)[1] for part in parts)))
