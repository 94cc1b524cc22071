# SPDX-License-Identifier: MIT
"""A real virtual machine: QEMU's q35 with an IOMMU, and the guest agent in it.

    with Vm(image, server.socket) as vm:
        vm.device()                   # loads vfio, binds and opens the device
        vm.call("ring 1 0")
        vm.send("wait 0 5000")        # the guest waits, and meanwhile
        ...                           # the host does something
        assert vm.reply() == ["1"]

QEMU runs with -accel tcg and never with hardware virtualisation. Every wait has a bound, and ends
at once if QEMU does; what QEMU and the guest said is then in the exception.
"""

import os
import pathlib
import select
import socket
import subprocess
import tempfile
import time

from agent import TIMEOUT, Guest, Lines
from qmp import Qmp

QEMU = os.environ.get("IVSHMEM_QEMU", "qemu-system-x86_64")
DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL"]  # should this process be killed
IOMMU = "intel-iommu,intremap=on"
# Without no_timer_check a kernel whose host is busy takes its timer for broken, and panics.
KERNEL_OPTIONS = "console=ttyS0 quiet panic=-1 no_timer_check"
PORT = "port0"  # the PCIe port that takes a hot-plugged device


class Vm(Guest):
    """One machine. qemu_prefix goes before QEMU on its command line, as valgrind does."""

    def __init__(self, image, *sockets, vectors=2, iommu=IOMMU, ports=0, name="vm", more=(),
                 qemu_prefix=(), timeout=TIMEOUT):
        """One ivshmem-doorbell device for each socket; ports is for hot-plugging later, iommu is
        QEMU's IOMMU device or None, and timeout bounds its start and each answer of its monitor."""
        self.name = name
        self.timeout = timeout
        self.process = None
        self.qmp = None
        self._exit_fd = -1
        self._listeners = {}
        self._folder = tempfile.TemporaryDirectory(prefix="ivshmem-vm-")
        self.folder = pathlib.Path(self._folder.name)
        self.command = [
            *DIES_WITH_US, *qemu_prefix, QEMU, "-accel", "tcg", "-M", "q35", "-nodefaults",
            "-display", "none", "-no-reboot", "-name", name,
            "-kernel", image.kernel, "-append", f"{KERNEL_OPTIONS} {image.kernel_options}",
            *image.machine,
            "-serial", f"file:{self.folder}/console",
            *self._channel("agent"), "-serial", "chardev:agent",
            *self._channel("qmp"), "-mon", "chardev=qmp,mode=control",
            *(["-device", iommu] if iommu else []), *more,
        ]
        for i in range(ports):
            self.command += ["-device", f"pcie-root-port,id=port{i},chassis={i + 1},slot={i + 1},"
                             "pref64-reserve=64M"]
        for i, path in enumerate(sockets):
            self.command += ["-chardev", f"socket,path={path},id=ivshmem{i}", "-device",
                             f"ivshmem-doorbell,chardev=ivshmem{i},vectors={vectors}"]

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    # Its life

    def start(self):
        """Starts QEMU. The guest boots meanwhile: ready() waits for it."""
        with open(self.folder / "stderr", "wb") as stderr:
            self.process = subprocess.Popen([str(word) for word in self.command], stdout=stderr,
                                            stderr=stderr, stdin=subprocess.DEVNULL)
        self._exit_fd = os.pidfd_open(self.process.pid)
        try:
            self.agent = self._accept("agent")
            self.qmp = Qmp(self._accept("qmp"), self.timeout)
        except BaseException:
            self.close()
            raise
        return self

    def kill(self):
        """Ends QEMU as a crash would."""
        self.process.kill()
        self.process.wait(TIMEOUT)

    def quit(self):
        """Has the guest power itself off; gives QEMU's exit status."""
        self.agent.write("quit")
        return self.process.wait(TIMEOUT)

    def close(self):
        """Ends QEMU if it still runs, and removes what it left."""
        if self.process and self.process.poll() is None:
            self.kill()
        for channel in [self.agent, self.qmp and self.qmp._lines, *self._listeners.values()]:
            if channel:
                channel.close()
        if self._exit_fd >= 0:
            os.close(self._exit_fd)
            self._exit_fd = -1
        self._folder.cleanup()

    def plug(self, path, vectors=2, port=PORT):
        """Plugs an ivshmem-doorbell device into a running machine."""
        self.qmp.execute("chardev-add", id=f"{port}-chardev", backend={
            "type": "socket", "data": {"server": False, "addr": {
                "type": "unix", "data": {"path": str(path)}}}})
        self.qmp.execute("device_add", driver="ivshmem-doorbell", id=f"{port}-device", bus=port,
                         chardev=f"{port}-chardev", vectors=vectors)

    def unplug(self, port=PORT):
        """Unplugs it again and waits until the guest has let it go."""
        self.qmp.execute("device_del", id=f"{port}-device")
        self.qmp.event("DEVICE_DELETED", TIMEOUT)
        self.qmp.execute("chardev-remove", id=f"{port}-chardev")

    # What went wrong

    def stderr(self):
        """What QEMU has printed."""
        return (self.folder / "stderr").read_text(errors="replace")

    def console(self):
        """What the guest's kernel, and the device library in it, have printed."""
        console = self.folder / "console"
        return console.read_text(errors="replace") if console.exists() else ""

    def failure(self, what):
        """An exception that says what went wrong and what everyone printed."""
        return RuntimeError(f"{self.name}: {what}; QEMU's status: {self.process.poll()}; "
                            f"QEMU printed:\n{self.stderr()}\nits console:\n{self.console()}")

    def wait_for(self, channel, deadline):
        """Waits until a channel is readable, as long as QEMU lives."""
        left = max(0.0, deadline - time.monotonic())
        readable = select.select([channel, self._exit_fd], [], [], left)[0]
        if channel not in readable:
            raise self.failure("QEMU has ended" if readable else "no answer within the time")

    def _channel(self, name):
        """QEMU connects to us, so there is nothing to wait for before that."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.folder / name))
        listener.listen(1)
        self._listeners[name] = listener
        return ["-chardev", f"socket,path={self.folder}/{name},id={name}"]

    def _accept(self, name):
        listener = self._listeners.pop(name)
        try:
            self.wait_for(listener, time.monotonic() + self.timeout)
            return Lines(self, listener.accept()[0])
        finally:
            listener.close()
