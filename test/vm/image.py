# SPDX-License-Identifier: Apache-2.0
"""Makes what the test guest boots: an uncompressed kernel and an initramfs, both without root.

The kernel is Debian's, taken out of its package: QEMU starts an uncompressed vmlinux through its
PVH entry several times faster than emulation decompresses a bzImage. The initramfs carries BusyBox,
lspci, the C and C++ runtimes that nvcc's programs link, and the modules for the 9p share.
"""

import lzma
import os
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULES = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p")
RUNTIME = ("libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "libresolv.so.2",
           "libgcc_s.so.1", "libstdc++.so.6", "ld-linux-x86-64.so.2")
ETC = {
    "etc/passwd": "root:x:0:0:root:/:/bin/sh\nguest:x:1000:1000:guest:/tmp:/bin/sh\n"
                  "stranger:x:1001:1001:stranger:/tmp:/bin/sh\n",
    "etc/group": "root:x:0:\nguest:x:1000:\nstranger:x:1001:\ncubar:x:900:guest\n",
}


class ImageError(Exception):
    """Says what is missing on this machine."""


def download_kernel(cache):
    """Debian's current kernel package; the one in the cache is good if it is there."""
    found = sorted(cache.glob("linux-image-*.deb"))
    if found:
        return found[-1]
    depends = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], check=True,
                             capture_output=True, text=True).stdout
    name = re.search(r"Depends: (linux-image-\S+)", depends)
    if not name:
        raise ImageError("apt knows no kernel package: run apt-get update")
    done = subprocess.run(["apt-get", "download", name[1]], cwd=cache, capture_output=True, text=True)
    found = sorted(cache.glob("linux-image-*.deb"))
    if done.returncode != 0 or not found:
        raise ImageError(f"cannot download {name[1]}: {done.stderr.strip()}")
    return found[-1]


def decompress(payload):
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(31).decompress(payload)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        # The four bytes after the frame are its length once decompressed, not zstd's.
        return subprocess.run(["zstd", "-dcq"], input=payload[:-4], check=True,
                              stdout=subprocess.PIPE).stdout
    raise ImageError(f"the kernel is compressed in an unknown way ({payload[:6].hex()})")


def extract_vmlinux(bzimage):
    """The ELF file inside a bzImage; offsets as in the kernel's Documentation/x86/boot.rst."""
    setup_sectors = bzimage[0x1F1] or 4
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    vmlinux = decompress(bzimage[start:start + length])
    if not vmlinux.startswith(b"\177ELF"):
        raise ImageError("the kernel's payload is not an ELF file")
    return vmlinux


def kernel(cache, wanted=MODULES):
    """The paths of vmlinux and of the directory of its modules, made once per kernel package."""
    cache.mkdir(parents=True, exist_ok=True)
    package = download_kernel(cache)
    # The modules' names are part of the key: a cache made for other modules does not serve.
    directory = cache / "-".join([package.name.split("_")[0], *wanted])
    vmlinux = directory / "vmlinux"
    if not vmlinux.exists():
        unpacked = cache / "unpacked"
        shutil.rmtree(unpacked, ignore_errors=True)
        subprocess.run(["dpkg-deb", "-x", package, unpacked], check=True)
        image = next(unpacked.glob("boot/vmlinuz-*")).read_bytes()
        directory.mkdir(exist_ok=True)
        for module in module_order(next(unpacked.glob("lib/modules/*")), wanted):
            shutil.copy(module, directory)
            with open(directory / "modules", "a", encoding="ascii") as order:
                order.write(module.name + "\n")
        partial = directory / "vmlinux.partial"
        partial.write_bytes(extract_vmlinux(image))
        partial.rename(vmlinux)
        shutil.rmtree(unpacked)
    return vmlinux, directory


def module_order(tree, wanted):
    """The wanted modules' files, each after those that it depends on."""
    files = {path.stem.replace("-", "_"): path for path in tree.rglob("*.ko")}
    order = []

    def add(name):
        path = files.get(name.replace("-", "_"))
        if path is None:
            raise ImageError(f"the kernel package has no module {name}")
        if path in order:
            return
        depends = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        for each in depends[1].decode().split(",") if depends else ():
            if each:
                add(each)
        order.append(path)

    for name in wanted:
        add(name)
    return order


def shared_libraries(program):
    listing = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return [Path(match) for match in re.findall(r"(/\S+) \(0x", listing)]


def runtime_libraries():
    directories = [Path(d) for d in ("/lib64", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu")]
    for name in RUNTIME:
        found = [d / name for d in directories if (d / name).exists()]
        if not found:
            raise ImageError(f"this machine has no {name}")
        yield found[0]


class Archive:
    """A cpio archive in the format newc: what the kernel unpacks as its first file system."""

    def __init__(self):
        self.data = bytearray()
        self.names = set()
        self.inode = 0

    def add(self, name, mode, content=b""):
        parent = str(Path(name).parent)
        if parent != "." and parent not in self.names:
            self.add(parent, 0o040755)
        self.names.add(name)
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        self.data += b"070701" + b"".join(b"%08X" % field for field in fields)
        self.data += name.encode() + b"\0"
        self.data += bytes(-len(self.data) % 4)
        self.data += content
        self.data += bytes(-len(self.data) % 4)

    def add_file(self, name, path, mode=0o100755):
        self.add(name, mode, Path(path).read_bytes())

    def write(self, path):
        self.add("TRAILER!!!", 0)
        path.write_bytes(self.data)


def find_program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin")
    if not found:
        raise ImageError(f"{name} is not installed")
    return Path(found)


def add_modules(archive, modules):
    """The modules, and the file that names them in the order of loading."""
    order = (modules / "modules").read_text(encoding="ascii").split()
    for name in order:
        archive.add_file(f"modules.d/{name}", modules / name, 0o100644)
    archive.add("modules", 0o100644, "".join(f"/modules.d/{name}\n" for name in order).encode())


def initramfs(path, modules):
    """Writes the guest's file system; `modules` is the directory that kernel() returned."""
    archive = Archive()
    archive.add_file("init", HERE / "init")
    archive.add_file("bin/early", HERE / "early")
    archive.add_file("bin/serve", HERE / "serve")
    archive.add_file("bin/permit", HERE / "permit")
    archive.add_file("bin/busybox", find_program("busybox"))
    archive.add("bin/sh", 0o120777, b"busybox")
    lspci = find_program("lspci")
    archive.add_file("usr/bin/lspci", lspci)
    libraries = {library.name: library for library in runtime_libraries()}
    libraries |= {library.name: library for library in shared_libraries(lspci)}
    for name, library in sorted(libraries.items()):
        archive.add_file(f"lib/{name}", library)
    archive.add("lib64", 0o120777, b"lib")
    archive.add_file("usr/share/misc/pci.ids", "/usr/share/misc/pci.ids", 0o100644)
    add_modules(archive, modules)
    for name, text in ETC.items():
        archive.add(name, 0o100644, text.encode())
    archive.write(path)
