#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the packages into build/packages, by debhelper and rpmbuild from Meson's install rules.

The version stands in meson.build alone; the packages' change logs are made from CHANGELOG.md.
"""

import argparse
import email.utils
import fcntl
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from build import ROOT, Build

TAGS = ("guest", "host")
MAINTAINER = "The cubar authors <maintainers@cubar.example>"
# The same on every distribution: the guest's library is found by absolute paths, not by a linker.
OPTIONS = ["--prefix=/usr", "--libdir=lib", "--sysconfdir=/etc", "--localstatedir=/var",
           "-Dtests=false"]


class PackageError(Exception):
    """Says what to do about it."""


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode != 0:
        raise PackageError(f"{' '.join(map(str, command[:3]))} failed:\n{done.stdout[-6000:]}")
    return done.stdout


def version_of(build):
    return build.introspect("projectinfo")["version"]


def changes():
    """What CHANGELOG.md tells: (version, date, changes) from the newest."""
    releases = []
    for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"## (\S+) \((\d{4}-\d\d-\d\d)\)", line):
            day = datetime.strptime(heading[2], "%Y-%m-%d").replace(hour=12, tzinfo=timezone.utc)
            releases.append((heading[1], day, []))
        elif line.startswith("- "):
            releases[-1][2].append(line[2:].replace("`", ""))
    return releases


def wrapped(text, first, rest, width=78):
    """The text in lines that begin as given."""
    lines = [first]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > width and lines[-1].strip(" *-"):
            lines.append(rest)
        lines[-1] += word + " "
    return "\n".join(line.rstrip() for line in lines)


def debian_changelog():
    return "\n".join(
        f"cubar ({version}) unstable; urgency=medium\n\n"
        + "\n".join(wrapped(change, "  * ", "    ") for change in listed)
        + f"\n\n -- {MAINTAINER}  {email.utils.format_datetime(day)}\n"
        for version, day, listed in changes())


def rpm_changelog(release):
    return "%changelog\n" + "\n".join(
        f"* {day:%a %b %d %Y} {MAINTAINER} - {version}-{release}\n"
        + "\n".join(wrapped(change, "- ", "  ") for change in listed) + "\n"
        for version, day, listed in changes())


def compile_installed(build):
    """Builds what is installed, and no more."""
    built = {path for target in build.introspect("targets") for path in target["filename"]}
    installed = built.intersection(build.introspect("installed"))
    if not build.compile(sorted(os.path.relpath(path, build.directory) for path in installed)):
        raise PackageError("the build failed")


def stage(build, work):
    """What each package installs, below WORK/guest and WORK/host: Meson's install tags say."""
    shutil.rmtree(work, ignore_errors=True)
    for tag in TAGS:
        run("meson", "install", "-C", build.directory, "--no-rebuild", "--quiet", "--strip",
            "--destdir", work / tag, "--tags", tag)
        # Nobody links a private library, and ollama takes whatever is called libcuda.so*.
        for link in (work / tag).rglob("*.so"):
            if link.is_symlink():
                link.unlink()
        # Meson strips what it linked, but not what it copied.
        for library in (work / tag).rglob("*.so.1"):
            run("strip", "--strip-unneeded", library)


def environment():
    # Nothing of the day and the machine on which a package is built gets into it.
    return os.environ | {"SOURCE_DATE_EPOCH": str(int(changes()[0][1].timestamp()))}


def make_deb(out, work):
    source = work / "deb"
    shutil.copytree(ROOT / "packaging" / "deb", source / "debian")
    (source / "debian" / "changelog").write_text(debian_changelog(), encoding="utf-8")
    run("debian/rules", "binary", cwd=source,
        env=environment() | {"CUBAR_STAGE": str(work), "CUBAR_PACKAGES": str(out)})


def rpm_file_list(tree):
    """A package's files as a spec names them."""
    for path in sorted(tree.rglob("*")):
        name = "/" + str(path.relative_to(tree))
        if path.is_dir():
            if "/cubar" in name:  # others are the distribution's
                yield "%dir " + name
            continue
        prefix = "%config(noreplace) " if name.startswith("/etc/") else ""
        yield prefix + name + (".gz" if name.startswith("/usr/share/man/") else "")


def make_rpm(version, release, out, work):
    spec = (ROOT / "packaging" / "rpm" / "cubar.spec").read_text(encoding="utf-8")
    source = work / "cubar.spec"
    source.write_text(spec + "\n" + rpm_changelog(release), encoding="utf-8")
    for tag in TAGS:
        (work / f"{tag}.files").write_text("\n".join(rpm_file_list(work / tag)), encoding="utf-8")
    units = sorted(unit.name for unit in (work / "host/usr/lib/systemd/system").glob("*.*")
                   if unit.is_file() and "@" not in unit.name)
    definitions = {"_topdir": work / "rpm", "_rpmdir": out, "cubar_stage": work,
                   "cubar_version": version, "cubar_release": release,
                   "cubar_units": " ".join(units) or "%nil",
                   "_rpmfilename": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
                   "_buildhost": "localhost", "use_source_date_epoch_as_buildtime": 1,
                   "clamp_mtime_to_source_date_epoch": 1}
    run("rpmbuild", "-bb", "--quiet",
        *(word for name, value in definitions.items() for word in ("--define", f"{name} {value}")),
        source, env=environment())


def make(cuda, out, kinds=("deb", "rpm"), release="1"):
    """Leaves the packages of these kinds in `out`, and returns their paths. `release`: RPM's."""
    build = Build("package", cuda, OPTIONS)
    build.configure()
    # Several tests make packages at a time.
    with open(build.directory / "package.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        version = version_of(build)
        if changes()[0][0] != version:
            raise PackageError(f"CHANGELOG.md begins with {changes()[0][0]}, meson.build says {version}: "
                               "describe this version")
        compile_installed(build)
        stage(build, out / "work")
    for kind in kinds:
        for old in out.glob(f"*.{kind}"):
            old.unlink()
    if "deb" in kinds:
        make_deb(out, out / "work")
    if "rpm" in kinds:
        make_rpm(version, release, out, out / "work")
    return sorted(path for kind in kinds for path in out.glob(f"*.{kind}"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuda", required=True, help="directory of the CUDA Toolkit")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "packages")
    parser.add_argument("--only", choices=("deb", "rpm"), help="one kind")
    arguments = parser.parse_args()
    kinds = (arguments.only,) if arguments.only else ("deb", "rpm")
    try:
        packages = make(arguments.cuda, arguments.out.resolve(), kinds)
    except (PackageError, OSError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    for package in packages:
        print(package)
    return 0


if __name__ == "__main__":
    sys.exit(main())
