# SPDX-License-Identifier: MIT
"""The guest: a kernel of Debian's, fetched and never installed, and an initramfs of our own.

The kernel's package is downloaded by apt-get and unpacked into the build folder, once. The
initramfs holds the statically linked guest agent as /init and the modules that vfio-pci needs; it
is made anew when the agent is.
"""

import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from serve import build_folder

CLOUD_KERNEL = "linux-image-cloud-amd64"  # boots fastest
FULL_KERNEL = "linux-image-amd64"  # knows AMD's IOMMU too
FETCH_TIMEOUT = 300

# In the order of loading.
MODULES = [
    "virt/lib/irqbypass.ko",
    "drivers/vfio/vfio.ko",
    "drivers/vfio/vfio_iommu_type1.ko",
    "drivers/vfio/vfio_virqfd.ko",
    "drivers/vfio/pci/vfio-pci-core.ko",
    "drivers/vfio/pci/vfio-pci.ko",
]


class Image:
    """kernel and initrd are the paths that QEMU takes."""

    def __init__(self, metapackage=CLOUD_KERNEL):
        self._metapackage = metapackage
        self.folder = build_folder() / "vm"
        if metapackage != CLOUD_KERNEL:
            self.folder /= metapackage
        self.kernel = self.folder / "vmlinuz"
        self.initrd = self.folder / "initrd"

    def make(self):
        """Makes what is missing or older than the agent. Runs at the same time take turns."""
        agent = build_folder() / "tests/vm/guest-agent"
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.kernel.exists():
                self._fetch()
            _run(["ninja", "-C", build_folder(), "tests/vm/guest-agent"])
            if not self.initrd.exists() or self.initrd.stat().st_mtime < agent.stat().st_mtime:
                self._pack(agent)
        return self

    def _fetch(self):
        """The package comes last into its place, so a fetch that was cut off is done again."""
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            scratch = pathlib.Path(scratch)
            # apt-get's own downloader runs as another user where there is one.
            _run(["apt-get", "-o", "APT::Sandbox::User=root", "download", _kernel_package(self._metapackage)],
                 cwd=scratch)
            (package,) = scratch.glob("*.deb")
            _run(["dpkg-deb", "-x", package, scratch / "root"])
            (kernel,) = (scratch / "root/boot").glob("vmlinuz-*")
            (modules,) = (scratch / "root/lib/modules").glob("*/kernel")
            for i, module in enumerate(MODULES, 1):
                shutil.copy(modules / module, self.folder / f"module-{i}")
            shutil.copy(kernel, self.folder / "vmlinuz.new")
        os.rename(self.folder / "vmlinuz.new", self.kernel)

    def _pack(self, agent):
        files = {"init": agent.read_bytes()}
        for i in range(1, len(MODULES) + 1):
            files[f"modules/{i}"] = (self.folder / f"module-{i}").read_bytes()
        new = self.folder / "initrd.new"
        new.write_bytes(archive(["dev", "proc", "sys", "modules"], files))
        os.rename(new, self.initrd)


def _run(command, **more):
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=FETCH_TIMEOUT, check=False, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed ({done.returncode}):\n{done.stdout}")
    return done.stdout


def _kernel_package(metapackage):
    """The package that the metapackage stands for now."""
    found = re.search(r"Depends: (linux-image-\S+-amd64)$",
                      _run(["apt-cache", "depends", metapackage]), re.M)
    if not found:
        raise RuntimeError(f"apt knows no {metapackage}; does it need an apt-get update?")
    return found[1]


def archive(folders, files):
    """An initramfs: a cpio archive in the `newc` format (Linux,
    Documentation/driver-api/early-userspace/buffer-format.rst). /dev/console is the one node that
    the kernel wants before there is a /dev."""
    entries = [(name, 0o040755, b"", (0, 0)) for name in folders]
    entries.append(("dev/console", 0o020600, b"", (5, 1)))
    entries += [(name, 0o100755, data, (0, 0)) for name, data in files.items()]
    entries.append(("TRAILER!!!", 0, b"", (0, 0)))
    out = bytearray()
    for inode, (name, mode, data, (major, minor)) in enumerate(entries, 1):
        fields = [inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in [name.encode() + b"\0", data]:
            out += part + bytes(-(len(out) + len(part)) % 4)
    return bytes(out)
