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
import tempfile

from debian import run, unpack
from serve import build_folder

CLOUD_KERNEL = "linux-image-cloud-amd64"  # boots fastest
FULL_KERNEL = "linux-image-amd64"  # knows AMD's IOMMU too

# In the order of loading.
MODULES = [
    "virt/lib/irqbypass.ko",
    "drivers/vfio/vfio.ko",
    "drivers/vfio/vfio_iommu_type1.ko",
    "drivers/vfio/vfio_virqfd.ko",
    "drivers/vfio/pci/vfio-pci-core.ko",
    "drivers/vfio/pci/vfio-pci.ko",
]


# Another driver that can have the device. It is not where kernels keep it.
OTHER_DRIVER = "uio_pci_generic"
OTHER_MODULES = ["drivers/uio/uio.ko", "drivers/uio/uio_pci_generic.ko"]

CLIENT = "bin/ivshmem-client"  # where guests have it


class Image:
    """What a guest boots: the kernel's path and options, and QEMU's further arguments."""

    kernel_options = ""

    @property
    def machine(self):
        return ["-m", "96", "-initrd", self.initrd]

    def __init__(self, metapackage=CLOUD_KERNEL, programs=()):
        """programs are further ones of the build, static, to be had in the guest's /bin."""
        self._metapackage = metapackage
        self._programs = programs
        self.folder = build_folder() / "vm"
        if metapackage != CLOUD_KERNEL:
            self.folder /= metapackage
        self.kernel = self.folder / "vmlinuz"
        self.initrd = self.folder / ("initrd-more" if programs else "initrd")
        self._release = self.folder / "release"

    @property
    def release(self):
        """The kernel's."""
        return self._release.read_text(encoding="ascii")

    def make(self):
        """Makes what is missing or older than the programs in it. Runs at the same time take
        turns."""
        programs = {"init": build_folder() / "tests/vm/guest-agent",
                    CLIENT: build_folder() / "ivshmem-client-static"}
        programs |= {f"bin/{pathlib.PurePath(name).name}": build_folder() / name
                     for name in self._programs}
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            last = self.folder / f"other-{len(OTHER_MODULES)}"
            if not all(path.exists() for path in (self.kernel, self._release, last)):
                self._fetch()
            run(["ninja", "-C", build_folder(), "tests/vm/guest-agent", "ivshmem-client-static",
                 *self._programs])
            newest = max(program.stat().st_mtime for program in programs.values())
            if not self.initrd.exists() or self.initrd.stat().st_mtime < newest:
                self._pack(programs)
        return self

    def _fetch(self):
        """The package comes last into its place, so a fetch that was cut off is done again."""
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            scratch = pathlib.Path(scratch)
            unpack(_kernel_package(self._metapackage), scratch)
            (kernel,) = (scratch / "boot").glob("vmlinuz-*")
            (modules,) = (scratch / "lib/modules").glob("*/kernel")
            for i, module in enumerate(MODULES, 1):
                shutil.copy(modules / module, self.folder / f"module-{i}")
            for i, module in enumerate(OTHER_MODULES, 1):
                shutil.copy(modules / module, self.folder / f"other-{i}")
            self._release.write_text(modules.parent.name, encoding="ascii")
            shutil.copy(kernel, self.folder / "vmlinuz.new")
        os.rename(self.folder / "vmlinuz.new", self.kernel)

    def _pack(self, programs):
        files = {name: program.read_bytes() for name, program in programs.items()}
        links = {}
        for i, module in enumerate(MODULES, 1):
            name = f"lib/modules/{self.release}/kernel/{module}"
            files[name] = (self.folder / f"module-{i}").read_bytes()
            links[f"modules/{i}"] = f"/{name}"
        for i in range(1, len(OTHER_MODULES) + 1):
            files[f"other/{i}"] = (self.folder / f"other-{i}").read_bytes()
        folders = {"dev", "proc", "sys", "modules", "etc", "tmp"}
        for name in files:
            folders |= {str(parent) for parent in pathlib.PurePath(name).parents} - {"."}
        files["etc/group"] = b"root:x:0:\nivshmem:x:1000:\n"
        new = self.initrd.with_suffix(".new")
        new.write_bytes(archive(sorted(folders), files, links))
        os.rename(new, self.initrd)


def _kernel_package(metapackage):
    """The package that the metapackage stands for now."""
    found = re.search(r"Depends: (linux-image-\S+-amd64)$",
                      run(["apt-cache", "depends", metapackage]), re.M)
    if not found:
        raise RuntimeError(f"apt knows no {metapackage}; does it need an apt-get update?")
    return found[1]


def archive(folders, files, links):
    """An initramfs: a cpio archive in the `newc` format (Linux,
    Documentation/driver-api/early-userspace/buffer-format.rst). /dev/console is the one node that
    the kernel wants before there is a /dev."""
    entries = [(name, 0o040755, b"", (0, 0)) for name in folders]
    entries.append(("dev/console", 0o020600, b"", (5, 1)))
    entries += [(name, 0o100755, data, (0, 0)) for name, data in files.items()]
    entries += [(name, 0o120777, target.encode(), (0, 0)) for name, target in links.items()]
    entries.append(("TRAILER!!!", 0, b"", (0, 0)))
    out = bytearray()
    for inode, (name, mode, data, (major, minor)) in enumerate(entries, 1):
        fields = [inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in [name.encode() + b"\0", data]:
            out += part + bytes(-(len(out) + len(part)) % 4)
    return bytes(out)
