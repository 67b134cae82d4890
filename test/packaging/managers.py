# SPDX-License-Identifier: Apache-2.0
"""dpkg and rpm on a made-up root, with the same words, and an ollama of either."""

import os
import subprocess

from made_up_root import MadeUpRoot, as_root


def build(*command):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.STDOUT)


def dependencies(package):
    """What a .deb needs, the first of each choice."""
    field = subprocess.run(["dpkg-deb", "-f", package, "Depends"], check=True, stdout=subprocess.PIPE,
                           text=True).stdout
    return {choice.split()[0] for choice in field.split(",") if choice.strip()}


class Dpkg:
    kind = "deb"

    def __init__(self, directory, systemd=True):
        self.root = MadeUpRoot(directory, systemd)
        for name in ("info", "updates", "triggers"):
            (self.root / "var/lib/dpkg" / name).mkdir(parents=True)
        (self.root / "var/lib/dpkg/status").touch()
        self.there = set()
        os.environ["PATH"] += ":/usr/sbin:/sbin"

    def _dpkg(self, *words):
        return as_root("dpkg", f"--root={self.root.path}", "--log=/dev/null", *words)

    def install(self, package):
        # dpkg configures no package, and runs no trigger of one, whose dependencies are missing.
        missing = dependencies(package) - self.there
        self.there |= missing
        with (self.root / "var/lib/dpkg/status").open("a", encoding="utf-8") as status:
            status.writelines(
                f"\nPackage: {name}\nStatus: install ok installed\nMaintainer: A <a@b.example>\n"
                "Architecture: amd64\nVersion: 999\nDescription: made up\n" for name in missing)
        return self._dpkg("-i", package)

    def remove(self, name):
        return self._dpkg("-r", name)

    def purge(self, name):
        return self._dpkg("-P", name)

    @staticmethod
    def ollama(directory, version, library):
        """A package of ollama's shape."""
        tree = directory / f"ollama-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "usr/lib/ollama").mkdir(parents=True)
        (tree / "usr/lib/ollama" / library).write_text(version, encoding="utf-8")
        (tree / "DEBIAN/control").write_text(
            f"Package: ollama\nVersion: {version}\nArchitecture: amd64\nMaintainer: A <a@b.example>\n"
            "Description: made up\n", encoding="utf-8")
        package = directory / f"ollama_{version}.deb"
        build("dpkg-deb", "--root-owner-group", "-b", tree, package)
        return package

    @staticmethod
    def newer(directory, package):
        """The same package with a later version."""
        tree = directory / "newer"
        build("dpkg-deb", "-R", package, tree)
        control = tree / "DEBIAN/control"
        text = control.read_text(encoding="utf-8")
        control.write_text(text.replace("\nVersion: ", "\nVersion: 9", 1), encoding="utf-8")
        newer = directory / "newer.deb"
        build("dpkg-deb", "--root-owner-group", "-b", tree, newer)
        return newer


class Rpm:
    kind = "rpm"

    def __init__(self, directory, systemd=True):
        self.root = MadeUpRoot(directory, systemd)
        self._rpm("--initdb")

    def _rpm(self, *words):
        return as_root("rpm", "--root", self.root.path, "--dbpath", "/var/lib/rpm", *words)

    def install(self, package):
        return self._rpm("-U", "--nodeps", package)

    def remove(self, name):
        return self._rpm("-e", name)

    purge = None  # an erased package has nothing more to lose

    @staticmethod
    def ollama(directory, version, library):
        spec = directory / f"ollama-{version}.spec"
        spec.write_text(
            f"Name: ollama\nVersion: {version}\nRelease: 1\nSummary: made up\nLicense: none\n"
            "BuildArch: noarch\n%description\nmade up\n%install\nmkdir -p %{buildroot}/usr/lib/ollama\n"
            f"echo {version} >%{{buildroot}}/usr/lib/ollama/{library}\n"
            f"%files\n%dir /usr/lib/ollama\n/usr/lib/ollama/{library}\n", encoding="utf-8")
        build("rpmbuild", "-bb", "--define", f"_topdir {directory}/rpm-{version}", "--define",
              f"_rpmdir {directory}", "--define", "_rpmfilename %%{NAME}-%%{VERSION}.rpm", spec)
        return directory / f"ollama-{version}.rpm"
