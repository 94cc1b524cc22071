# SPDX-License-Identifier: MIT
"""A guest with systemd and udev: a minimal Debian on a disk, with what this tree installs in it. The
guest agent is one of its services, so that it is talked to as any other guest.

Debian packages: mmdebstrap and e2fsprogs. Making the root takes half a minute, once.
"""

import fcntl
import os
import pathlib
import shutil
import tempfile

from image import CLIENT, MODULES, Image, run
from serve import TREE, build_folder

PACKAGES = "systemd,systemd-sysv,udev,kmod"
WITHOUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"]
AGENT = """[Unit]
Description=guest agent
DefaultDependencies=no
After=sysinit.target
[Service]
ExecStart=/usr/local/bin/guest-agent
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
[Install]
WantedBy=multi-user.target
"""


class SystemdImage:
    """As Image is."""

    kernel_options = "root=/dev/nvme0n1 rw rootwait init=/lib/systemd/systemd"

    def __init__(self):
        self._small = Image()
        self.folder = build_folder() / "vm/systemd"
        self.kernel = self._small.kernel
        self._disk = self.folder / "disk"

    @property
    def machine(self):
        return ["-m", "256", "-drive", f"file={self._disk},format=raw,if=none,id=disk,snapshot=on",
                "-device", "nvme,drive=disk,serial=disk"]

    def make(self):
        """Makes it anew but for the packages: it takes two seconds."""
        self._small.make()
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            root = self.folder / "root"
            if not root.exists():
                self._bootstrap(root)
            self._fill(root)
            new = self.folder / "disk.new"
            new.unlink(missing_ok=True)
            run(["mkfs.ext4", "-q", "-d", root, new, "400M"])
            os.rename(new, self._disk)
        return self

    def _bootstrap(self, root):
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            made = pathlib.Path(scratch, "root")
            run(["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}",
                 *[f"--dpkgopt=path-exclude={path}" for path in WITHOUT], "bookworm", made])
            os.rename(made, root)

    def _fill(self, root):
        """Installs this tree, the kernel's modules and the agent."""
        release = self._small.release
        for i, module in enumerate(MODULES, 1):
            place = root / "lib/modules" / release / "kernel" / module
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self._small.folder / f"module-{i}", place)
        run(["chroot", root, "depmod", release])
        dist = build_folder() / "dist"
        unit = (dist / "ivshmem-setup@.service").read_text(encoding="utf-8")
        files = {
            "lib/systemd/system/ivshmem-setup@.service": unit.replace("/usr/local/bin/", "/bin/"),
            "lib/systemd/system/agent.service": AGENT,
            "lib/udev/rules.d/80-ivshmem.rules": (TREE / "dist/80-ivshmem.rules").read_text(),
            "lib/sysusers.d/ivshmem.conf": (TREE / "dist/ivshmem.sysusers").read_text(),
        }
        for name, text in files.items():
            (root / name).write_text(text, encoding="utf-8")
        shutil.copy(build_folder() / "ivshmem-client-static", root / CLIENT)
        shutil.copy(build_folder() / "tests/vm/guest-agent", root / "usr/local/bin/guest-agent")
        run(["chroot", root, "systemd-sysusers"])
        run(["chroot", root, "systemctl", "enable", "agent.service"])
        run(["chroot", root, "systemctl", "mask", "serial-getty@ttyS1.service", "serial-getty@ttyS0.service"])
