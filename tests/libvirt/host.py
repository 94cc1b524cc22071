# SPDX-License-Identifier: MIT
"""A host with libvirt of Debian's packages, that is not this machine: namespaces of its own, a root
that looks like this machine's and keeps what is written in memory, and a /dev without kvm. There are
no cgroups, and no network but its own loopback. It ends with the process that made it.

libvirtd on a machine's own root would change that: it deletes /dev/kvm, replaces /dev/ptmx, and gives
kernel images and cgroups away.
"""

import fcntl
import os
import pathlib
import shutil
import subprocess
import tempfile

from image import run
from machine import DIES_WITH_US
from serve import TREE, build_folder, children, eventually

PACKAGES = ["libvirt-daemon-system", "libvirt-clients"]
APT = ["apt-get", "-q", "-y", "--no-install-recommends", "-o", "APT::Sandbox::User=root",
       "-o", "Debug::NoLocking=1"]
HERE = "/srv/ivshmem"  # in the host: what it was given
RUN = "/run/test"  # in the host: a folder of the test's, in which QEMU may write
NAMESPACES = ["--mount", "--pid", "--net", "--ipc", "--uts"]
ENVIRONMENT = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C",
               "DEBIAN_FRONTEND=noninteractive"]
TIMEOUT = 60
INSTALL_TIMEOUT = 300
QEMU_CONF = """
stdio_handler = "file"
security_driver = "none"
cgroup_controllers = []
dynamic_ownership = 0
"""
LIBVIRTD_CONF = """
auth_unix_rw = "none"
auth_unix_ro = "none"
"""


def fetch():
    """The packages, and what of their dependencies this machine lacks. apt downloads only what is not
    there yet."""
    folder = build_folder() / "libvirt"
    (folder / "partial").mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run([*APT, "-o", f"Dir::Cache::archives={folder}", "--download-only", "install", *PACKAGES])
    return folder


class Host:
    """One such host. given is {name: file}, to be had in HERE."""

    def __init__(self, given):
        self._folder = tempfile.TemporaryDirectory(prefix="ivshmem-libvirt-")
        self.folder = pathlib.Path(self._folder.name)
        self._given = given
        self._holder = None
        self._pid = 0

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def start(self):
        """Makes the host, with libvirt installed and running."""
        archives = fetch()
        payload = self.folder / "payload"
        (self.folder / "memory").mkdir()
        shutil.copytree(archives, payload / HERE[1:] / "archives",
                        ignore=shutil.ignore_patterns("partial", ".lock"))
        for name, file in self._given.items():
            shutil.copy(file, payload / HERE[1:] / name)
        run(["chmod", "-R", "a+rX", payload])
        self._holder = subprocess.Popen(
            [*DIES_WITH_US, "unshare", *NAMESPACES, "--fork", "--kill-child", "--propagation", "private",
             TREE / "tests/libvirt/overlay.sh", self.folder / "memory", payload,
             "sh", "-c", "echo ready; exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            if self._holder.stdout.readline() != "ready\n":
                raise RuntimeError("there is no host")
            (self._pid,) = children(self._holder.pid)
            self._install()
        except BaseException:
            self.close()
            raise
        return self

    def close(self):
        """Ends all that runs in it, and it."""
        if self._holder:
            self._holder.stdin.close()
            self._holder.wait(TIMEOUT)
            self._holder.stdout.close()
            self._holder = None
        self._folder.cleanup()

    def path(self, name):
        """Where this machine finds a file of the host."""
        return pathlib.Path(f"/proc/{self._pid}/root{name}")

    def command(self, *words):
        """What runs a command in the host."""
        return ["nsenter", "--target", str(self._pid), *NAMESPACES, *ENVIRONMENT, *map(str, words)]

    def run(self, *words, timeout=TIMEOUT):
        """Runs a command there to its end, which must be good; gives what it has printed."""
        done = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{words}: {done.returncode}\n{done.stdout}\n{self.logs()}")
        return done.stdout

    def start_program(self, name, *words):
        """Starts what runs until the host's end; gives the file that has all that it prints."""
        log = self.path(f"{RUN}/{name}.log")
        with open(log, "wb") as out:
            subprocess.Popen(self.command(*words), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        return log

    def virsh(self, *words):
        return self.run("virsh", "-q", "-c", "qemu:///system", *words)

    def write(self, name, text):
        """A file that QEMU can read; gives its name."""
        path = self.path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
        return name

    def logs(self):
        """What everybody has printed."""
        found = [*self.path(RUN).glob("*.log"), *self.path("/var/log/libvirt/qemu").glob("*.log")]
        return "\n".join(f"{log.name}:\n{log.read_text(errors='replace')[-4000:]}" for log in found)

    def _install(self):
        self.path(RUN).mkdir(mode=0o777)
        self.path(RUN).chmod(0o777)
        self.run(*APT, "-o", f"Dir::Cache::archives={HERE}/archives", "-o",
                 "Dpkg::Options::=--force-unsafe-io", "--no-download", "install", *PACKAGES,
                 timeout=INSTALL_TIMEOUT)
        with open(self.path("/etc/libvirt/qemu.conf"), "a", encoding="utf-8") as conf:
            conf.write(QEMU_CONF)
        self.start_program("libvirtd", "libvirtd", "-f", self.write(f"{RUN}/libvirtd.conf", LIBVIRTD_CONF),
                           "-p", f"{RUN}/libvirtd.pid")
        eventually(self.path("/run/libvirt/libvirt-sock").exists, TIMEOUT, "libvirtd there")


def owned(paths):
    """Whose files are, and of which kind: all that libvirtd is known to change. {path: None} for what
    is not there."""
    return {path: (found.st_ino, found.st_mode, found.st_uid, found.st_gid, found.st_rdev,
                   {name: os.getxattr(path, name, follow_symlinks=False)
                    for name in os.listxattr(path, follow_symlinks=False)})
            if (found := _look(path)) else None for path in map(str, paths)}


def _look(path):
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
