# SPDX-License-Identifier: MIT
"""A virtual machine that libvirt runs, with the guest agent in it."""

import errno
import select
import socket
import time

from agent import TIMEOUT, Guest, GuestError, Lines
from host import HERE, RUN
from machine import KERNEL_OPTIONS
from serve import eventually

NAME = "guest"
# QEMU connects to the agent's socket, so the agent's first words are not lost.
XML = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>96</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{here}/vmlinuz</kernel>
    <initrd>{here}/initrd</initrd>
    <cmdline>{options}</cmdline>
  </os>
  <features><acpi/><ioapic driver='qemu'/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'><source path='{run}/console.log'/></serial>
    <serial type='unix'><source mode='connect' path='{run}/agent'/></serial>
    <iommu model='intel'><driver intremap='on'/></iommu>
    {devices}
  </devices>
</domain>
"""


class Domain(Guest):
    """One that runs in a host until it ends. devices is what its XML has within <devices>."""

    def __init__(self, host, devices):
        self._host = host
        path = host.path(f"{RUN}/agent")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            path.chmod(0o777)
            listener.listen(1)
            listener.settimeout(TIMEOUT)
            xml = XML.format(name=NAME, here=HERE, run=RUN, options=KERNEL_OPTIONS, devices=devices)
            host.virsh("create", host.write(f"{RUN}/{NAME}.xml", xml))
            self.agent = Lines(self, listener.accept()[0])

    def plug(self, xml):
        """Plugs a device into it."""
        self._host.virsh("attach-device", NAME, self._host.write(f"{RUN}/device.xml", xml))

    def unplug(self, xml):
        """Asks the guest to let it go; gives back at once."""
        self._host.virsh("detach-device", NAME, self._host.write(f"{RUN}/device.xml", xml))

    def devices(self):
        """The addresses of the ivshmem devices that the guest sees."""
        return [line.split(",")[0] for line in self.call("list")]

    def bind(self, address):
        """Gives a device to vfio-pci; one that was just plugged appears before the guest's kernel is done
        with it, and can be refused for a moment."""
        eventually(lambda: self._is_bound(address), TIMEOUT, f"{address} bound")

    def _is_bound(self, address):
        try:
            self.call(f"bind {address}")
            return True
        except GuestError as error:
            if error.errno != errno.ENOENT:
                raise
            return False

    def quit(self):
        """Has the guest power itself off."""
        self.agent.write("quit")

    def close(self):
        self.agent.close()

    def failure(self, what):
        """An exception that says what went wrong, and what everyone printed."""
        return RuntimeError(f"{what}\n{self._host.logs()}")

    def wait_for(self, channel, deadline):
        """Waits until a channel is readable."""
        if not select.select([channel], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise self.failure("no answer within the time")
