#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is in the packages, and what they do to a system when they come, are upgraded and go.
usage: packages_test.py --cuda DIR [unittest arguments]
"""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "test" / "abi")]

import package  # noqa: E402
from elf import Library  # noqa: E402
from managers import Dpkg, Rpm, dependencies  # noqa: E402

LIBRARY = "/usr/lib/cubar/libcuda.so.1"
LINK = "usr/lib/ollama/libcuda.so.1"
DROP_IN = "usr/lib/systemd/system/ollama.service.d/50-cubar.conf"
# Everything that the guest's package may bring; what a distribution looks through elsewhere, above
# all the dynamic linker's directories and its configuration, is not among it.
ALLOWED = re.compile("|".join((
    r"/etc/cubar/ollama\.conf",
    r"/usr/lib/cubar/(cubar-device|libcuda\.so\.1|libnvidia-ml\.so\.1)",
    r"/usr/lib/systemd/system/ollama\.service\.d/50-cubar\.conf",
    r"/usr/lib/sysusers\.d/cubar-ollama\.conf",
    r"/usr/lib/udev/rules\.d/60-cubar\.rules",
    r"/usr/s?bin/cubar-[a-z]+",
    r"/usr/share/(bash-completion/completions|zsh/[a-z]+-[a-z]+)/_?cubar-[a-z]+",
    r"/usr/share/man/man[1-9]/(cubar-[a-z]+|ollama\.conf)\.[1-9]\.gz",
    r"/usr/share/doc/cubar-ollama/(copyright|changelog\.gz)",
)))
# The host's brings its daemon, what that needs, and its own guest library for cubar-run.
ALLOWED_ON_HOST = re.compile("|".join((
    r"/etc/cubar/[a-z.-]+",
    r"/usr/lib/cubar/(cubar-[a-z]+|(guest/lib(cuda|nvidia-ml)|softgpu/libcuda)\.so\.1)",
    r"(/usr)?/lib/systemd/system/cubar[a-z@-]+\.(service|socket|slice|target)",
    r"/usr/lib/(sysusers|tmpfiles)\.d/cubar[a-z-]*\.conf",
    r"/usr/s?bin/(cubard|cubarctl|cubar-run)",
    r"/usr/share/(bash-completion/completions|zsh/[a-z]+-[a-z]+)/_?cubar[a-z-]+",
    r"/usr/share/man/man[1-9]/cubar[a-z-]*(\.[a-z]+)?\.[1-9]\.gz",
    r"/usr/share/(doc/)?cubar(-host)?/.+",
)))
PACKAGES = {}


def output(*command):
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE,
                          text=True).stdout


def files_of_deb(path):
    """Name, mode and owner of each file that is no directory."""
    rows = [row.split(None, 5) for row in output("dpkg-deb", "-c", path).splitlines()]
    return {row[5].split(" -> ")[0].removeprefix("."): (row[0], row[1]) for row in rows
            if row[0][0] != "d"}


def files_of_rpm(path):
    rows = [row.split(None, 3) for row in output(
        "rpm", "-qp", "--qf", "[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES}\n]",
        path).splitlines()]
    return {row[3]: (row[0], f"{row[1]}/{row[2]}") for row in rows if row[0][0] != "d"}


def complaints(files, allowed=ALLOWED):
    """What breaks the rules in a list of files."""
    found = [name for name in files if not allowed.fullmatch(name)]
    found += [f"{name}: {mode} {owner}" for name, (mode, owner) in files.items()
              if owner != "root/root" or mode not in ("-rw-r--r--", "-rwxr-xr-x")]
    return found


class Contents(unittest.TestCase):
    def setUp(self):
        self.lists = {"deb": files_of_deb(PACKAGES["deb"]), "rpm": files_of_rpm(PACKAGES["rpm"])}

    def test_only_what_is_allowed(self):
        for kind, files in self.lists.items():
            self.assertEqual([], complaints(files), kind)
            self.assertIn(LIBRARY, files)

    def test_only_what_is_allowed_on_the_host(self):
        for files in (files_of_deb(PACKAGES["host deb"]), files_of_rpm(PACKAGES["host rpm"])):
            self.assertEqual([], complaints(files, ALLOWED_ON_HOST))
            self.assertIn("/usr/sbin/cubard", files)
        self.assertNotEqual([], complaints(self.lists["deb"], ALLOWED_ON_HOST))

    def test_the_rule_objects(self):
        for name in ("/etc/ld.so.conf.d/cubar.conf", "/etc/ld.so.preload", "/usr/lib/libcuda.so.1",
                     "/usr/lib/cubar/libcuda.so", "/usr/lib/ollama/libcuda.so.1"):
            self.assertEqual([name], complaints({name: ("-rw-r--r--", "root/root")}))
        self.assertTrue(complaints({LIBRARY: ("-rwsr-xr-x", "root/root")}))
        self.assertTrue(complaints({LIBRARY: ("-rw-r--r--", "root/cubar")}))

    def test_both_bring_the_same(self):
        def plain(files):
            return {name.replace("vendor-completions", "site-functions") for name in files
                    if "/share/doc/" not in name}
        self.assertEqual(plain(self.lists["deb"]), plain(self.lists["rpm"]))

    def test_one_version(self):
        version = re.search(r"version: '(.*)'", (ROOT / "meson.build").read_text(encoding="utf-8"))[1]
        self.assertEqual(version, output("dpkg-deb", "-f", PACKAGES["deb"], "Version").strip())
        self.assertEqual(version, output("rpm", "-qp", "--qf", "%{VERSION}", PACKAGES["rpm"]))

    def test_every_command_and_file_has_its_page(self):
        on_host = (files_of_deb(PACKAGES["host deb"]), files_of_rpm(PACKAGES["host rpm"]))
        for files in (*self.lists.values(), *on_host):
            commands = [Path(f).name for f in files if re.match("/usr/s?bin/", f)]
            configured = [Path(f).name for f in files if f.startswith("/etc/")]
            self.assertGreaterEqual(len(commands), 3)
            self.assertEqual(len(configured), 1)
            for name in commands + configured:
                self.assertTrue(any(f.startswith("/usr/share/man/") and f"/{name}." in f for f in files), name)
            for name in commands:
                self.assertIn(f"/usr/share/bash-completion/completions/{name}", files)
                self.assertTrue(any(f.startswith("/usr/share/zsh/") and f.endswith(f"/_{name}") for f in files),
                                name)

    def test_nothing_is_provided_to_others(self):
        self.assertNotIn("lib", output("rpm", "-qp", "--provides", PACKAGES["rpm"]))
        scripts = output("dpkg-deb", "-I", PACKAGES["deb"])
        self.assertNotRegex(scripts, "shlibs|ldconfig")
        self.assertNotIn("ldconfig", output("rpm", "-qp", "--scripts", PACKAGES["rpm"]))

    def test_what_the_scripts_call_is_needed(self):
        """systemd-sysusers and groupdel; RPM's scripts go on without."""
        for kind in ("deb", "host deb"):
            self.assertLessEqual({"passwd", "systemd"}, dependencies(PACKAGES[kind]), kind)

    def test_programs_need_libc_alone(self):
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(["dpkg-deb", "-x", PACKAGES["deb"], directory], check=True)
            binaries = [Path(directory + name) for name, (mode, _) in self.lists["deb"].items()
                        if "bin/" in name or "/lib/cubar/" in name]
            self.assertGreaterEqual(len(binaries), 5)
            for path in binaries:
                library = Library(str(path))
                self.assertLessEqual(set(library.names_of("NEEDED")), {"libc.so.6", "ld-linux-x86-64.so.2"}, path)
                for needed in library.versions_needed():
                    numbers = tuple(map(int, re.findall(r"\d+", needed)))
                    self.assertLessEqual(numbers, (2, 34), f"{path} needs {needed}")

    def test_lintian_and_rpmlint(self):
        for command in (["lintian", "--fail-on", "error,warning", PACKAGES["deb"], PACKAGES["host deb"]],
                        ["rpmlint", "-r", ROOT / "packaging/rpm/cubar.rpmlintrc", PACKAGES["rpm"],
                         PACKAGES["host rpm"]]):
            done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True,
                                  stderr=subprocess.STDOUT)
            self.assertEqual(0, done.returncode, done.stdout)
            self.assertNotRegex(done.stdout, r"(?m)^\S+: [EW]: ")


class Life:
    """The same story for both package managers; `manager` makes one."""

    def setUp(self):
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.package = PACKAGES[self.manager.kind]

    def begin(self, systemd=True):
        manager = self.manager(self.directory / "root", systemd)
        return manager, manager.root

    def ollama(self, version, library="libggml-base.so"):
        return self.manager.ollama(self.directory, version, library)

    def assert_same(self, before, root):
        after = root.snapshot()
        self.assertEqual([], [name for name in sorted(before | after)
                              if before.get(name) != after.get(name)])

    def go(self, manager):
        manager.remove("cubar-ollama")
        if manager.purge:
            manager.purge("cubar-ollama")

    def assert_linked(self, root):
        self.assertTrue((root / LINK).is_symlink(), "ollama has no link")
        self.assertEqual(LIBRARY, str((root / LINK).readlink()))

    def test_installed_after_ollama_and_gone_without_a_trace(self):
        manager, root = self.begin()
        manager.install(self.ollama("1.0"))
        (root / "usr/local/lib/ollama").mkdir()
        (root / "usr/local/lib/ollama/libggml-base.so").touch()
        before = root.snapshot()
        manager.install(self.package)
        self.assert_linked(root)
        self.assertTrue((root / "usr/local/lib/ollama/libcuda.so.1").is_symlink())
        self.assertIn("cubar:", (root / "etc/group").read_text(encoding="utf-8"))
        calls = root.calls()
        self.assertIn("udevadm control --reload", calls)
        self.assertIn("systemctl daemon-reload", calls)
        self.assertTrue(any(call.endswith("try-restart ollama.service") for call in calls))
        self.go(manager)
        calls = root.calls()
        self.assertIn("systemctl daemon-reload", calls)
        self.assertTrue(any(call.endswith("try-restart ollama.service") for call in calls))
        self.assert_same(before, root)

    def test_installed_before_ollama(self):
        manager, root = self.begin()
        before = root.snapshot()
        manager.install(self.package)
        self.assertFalse((root / "usr/lib/ollama").exists())
        manager.install(self.ollama("1.0"))
        self.assert_linked(root)
        manager.install(self.ollama("2.0", library="libggml-new.so"))
        self.assert_linked(root)
        self.assertFalse((root / "usr/lib/ollama/libggml-base.so").exists())
        manager.remove("ollama")
        self.assertFalse((root / "usr/lib/ollama").exists(), "ollama's directory stays for our link")
        self.go(manager)
        root.calls()
        self.assert_same(before, root)

    def test_upgrade_leaves_ollama_running(self):
        manager, root = self.begin()
        manager.install(self.ollama("1.0"))
        manager.install(self.package)
        root.calls()
        manager.install(self.newer(self.package))
        self.assert_linked(root)
        self.assertTrue((root / DROP_IN).exists())
        self.assertIn("cubar:", (root / "etc/group").read_text(encoding="utf-8"))
        self.assertFalse([call for call in root.calls() if "restart" in call])

    def test_somebody_elses_library_stays(self):
        manager, root = self.begin()
        manager.install(self.ollama("1.0"))
        (root / LINK).write_text("NVIDIA's", encoding="utf-8")
        manager.install(self.package)
        self.go(manager)
        self.assertEqual("NVIDIA's", (root / LINK).read_text(encoding="utf-8"))

    def test_without_systemd(self):
        manager, root = self.begin(systemd=False)
        manager.install(self.ollama("1.0"))
        manager.install(self.package)
        self.assert_linked(root)
        self.assertFalse([call for call in root.calls() if not call.startswith("systemd-sysusers")])
        self.go(manager)


    def test_host_comes_is_upgraded_and_goes_without_a_trace(self):
        manager, root = self.begin()
        package, configuration = PACKAGES["host " + self.manager.kind], root / "etc/cubar/cubard.toml"
        before = root.snapshot()
        manager.install(package)
        self.assertIn("cubar-admin:", (root / "etc/group").read_text(encoding="utf-8"))
        self.assert_called(root, self.host_begins)
        own = configuration.read_text(encoding="utf-8")
        configuration.write_text(own + "# mine\n", encoding="utf-8")
        manager.install(self.newer(package))
        self.assertIn("# mine", configuration.read_text(encoding="utf-8"))
        self.assert_called(root, self.host_goes_on)
        configuration.write_text(own, encoding="utf-8")
        # systemd makes it when cubard starts.
        (root / "var/cache/cubar/vm").mkdir(parents=True)
        manager.remove("cubar-host")
        self.assert_called(root, self.host_ends)
        if manager.purge:
            manager.purge("cubar-host")
        root.calls()
        self.assert_same(before, root)

    def assert_called(self, root, patterns):
        """Both units, or cubard's service, in calls of these forms."""
        calls = "\n".join(root.calls())
        for pattern in patterns:
            self.assertRegex(calls, f"(?m)^{pattern}")


class LifeOfDeb(Life, unittest.TestCase):
    manager = Dpkg
    host_begins = ("deb-systemd-helper enable cubard.service", "deb-systemd-helper enable cubard.socket",
                   "deb-systemd-invoke start cubard.service cubard.socket")
    host_goes_on = ("deb-systemd-invoke restart cubard.service",)
    host_ends = ("deb-systemd-invoke stop cubard.service cubard.socket",)

    def newer(self, package):
        return Dpkg.newer(self.directory, package)

    def test_configuration_stays_until_the_purge(self):
        manager, root = self.begin()
        manager.install(self.package)
        with (root / "etc/cubar/ollama.conf").open("a", encoding="utf-8") as file:
            file.write("user = me\n")
        manager.remove("cubar-ollama")
        self.assertTrue((root / "etc/cubar/ollama.conf").exists())
        manager.purge("cubar-ollama")
        self.assertFalse((root / "etc/cubar").exists())


class LifeOfRpm(Life, unittest.TestCase):
    manager = Rpm
    host_begins = ("systemctl --no-reload preset cubard.service", "systemctl --no-reload preset cubard.socket")
    host_goes_on = ("systemctl try-restart cubard.service",)
    host_ends = ("systemctl --no-reload disable --now cubard.service",
                 "systemctl --no-reload disable --now cubard.socket")

    def newer(self, older):
        made = package.make(cuda, self.directory / "newer", ("rpm",), release="2")
        name = output("rpm", "-qp", "--qf", "%{NAME}", older)
        return next(path for path in made if path.name.startswith(name))


if __name__ == "__main__":
    cuda = sys.argv[sys.argv.index("--cuda") + 1]
    with tempfile.TemporaryDirectory() as made:
        for path in package.make(cuda, Path(made)):
            host = "host " if path.name.startswith("cubar-host") else ""
            PACKAGES[host + path.suffix[1:]] = path
        unittest.main(argv=[sys.argv[0], "-v", *sys.argv[3:]], exit=False).result.wasSuccessful() or sys.exit(1)
