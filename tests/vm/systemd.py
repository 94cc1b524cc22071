# SPDX-License-Identifier: MIT
"""Guests with systemd and udev: a minimal Debian on a disk. SystemdImage has what this tree installs
for guests; PackageImage has nothing of it, but its Debian packages in /packages, to be installed as they
would be on a host. The guest agent is a service in both, so that it is talked to as any other guest.

Debian packages: mmdebstrap and e2fsprogs. Making the root takes half a minute, once.
"""

import fcntl
import os
import pathlib
import shutil
import subprocess
import tempfile

import sources
from image import CLIENT, MODULES, Image, run
from serve import TREE, build_folder

PACKAGES = "systemd,systemd-sysv,udev,kmod"
# What ours depend on, and what runs the peers.
MORE_PACKAGES = "libinih1,libjansson4,libseccomp2,libsystemd0,python3"
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
    name = "systemd"
    packages = PACKAGES

    def __init__(self):
        self._small = Image()
        self.folder = build_folder() / "vm" / self.name
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
            self._install_agent(root)
            self.install(root)
            new = self.folder / "disk.new"
            new.unlink(missing_ok=True)
            run(["mkfs.ext4", "-q", "-d", root, new, "600M"])
            os.rename(new, self._disk)
        return self

    def _bootstrap(self, root):
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            made = pathlib.Path(scratch, "root")
            run(["mmdebstrap", "--variant=minbase", f"--include={self.packages}",
                 *[f"--dpkgopt=path-exclude={path}" for path in WITHOUT], "bookworm", made])
            os.rename(made, root)

    def _install_agent(self, root):
        """Installs the kernel's modules and the agent."""
        release = self._small.release
        for i, module in enumerate(MODULES, 1):
            place = root / "lib/modules" / release / "kernel" / module
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self._small.folder / f"module-{i}", place)
        run(["chroot", root, "depmod", release])
        (root / "lib/systemd/system/agent.service").write_text(AGENT, encoding="utf-8")
        shutil.copy(build_folder() / "tests/vm/guest-agent", root / "usr/local/bin/guest-agent")
        run(["chroot", root, "systemctl", "enable", "agent.service"])
        run(["chroot", root, "systemctl", "mask", "serial-getty@ttyS1.service", "serial-getty@ttyS0.service"])

    def install(self, root):
        """What a guest has of this tree."""
        dist = build_folder() / "dist"
        unit = (dist / "ivshmem-setup@.service").read_text(encoding="utf-8")
        files = {
            "lib/systemd/system/ivshmem-setup@.service": unit.replace("/usr/local/bin/", "/bin/"),
            "lib/udev/rules.d/80-ivshmem.rules": (TREE / "dist/80-ivshmem.rules").read_text(),
            "lib/sysusers.d/ivshmem.conf": (TREE / "dist/ivshmem-guest.sysusers").read_text(),
        }
        for name, text in files.items():
            (root / name).write_text(text, encoding="utf-8")
        shutil.copy(build_folder() / "ivshmem-client-static", root / CLIENT)
        run(["chroot", root, "systemd-sysusers"])


class PackageImage(SystemdImage):
    """With our packages, which are built if the tree is newer, and peers that are followed."""

    name = "package"
    packages = f"{PACKAGES},{MORE_PACKAGES}"

    def install(self, root):
        folder = root / "packages"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for package in _packages():
            shutil.copy(package, folder)
        peers = root / "usr/local/lib/peers"
        peers.mkdir(exist_ok=True)
        for name in ["vm/guest-peers.py", "lib/peer.py"]:
            shutil.copy(TREE / "tests" / name, peers)


def _packages():
    """Those that are to be installed, of the tree as it is."""
    newest = max((TREE / name).stat().st_mtime for name in sources.files()
                 if not name.startswith(("tests/", "docs/")))
    wanted = [f"ivshmem-{what}_*.deb" for what in ["server", "tools"]]
    found = [path for name in wanted for path in (TREE / "build-package").glob(name)]
    if len(found) != len(wanted) or min(path.stat().st_mtime for path in found) < newest:
        subprocess.run([TREE / "dev", "package"], check=True, timeout=600)
        found = [path for name in wanted for path in (TREE / "build-package").glob(name)]
    return found
