# SPDX-License-Identifier: MIT
"""Domains of a real libvirt, served by this daemon where libvirt looks for it, as it is when it is
installed: QEMU runs as libvirt-qemu, and nothing is opened for it by hand."""

import pathlib
import re
import stat

import pytest
from control import Control
from domain import Domain
from host import HERE, RUN, Host, owned
from image import Image
from peer import Peer
from place import can_mount
from serve import eventually, server_program

pytestmark = pytest.mark.skipif(not can_mount(), reason="needs root, and a mount namespace")

CONTROL = "/run/ivshmem/control"
WAIT_MS = 10000
TIMEOUT = 60
CONFIGURATION = f"""
[region]
size = 64K
vectors = 2

[listener first]
libvirt-name = first
reserved-id = 1

[listener second]
libvirt-name = second
reserved-id = 2

[listener host]
socket = {RUN}/host
"""
FIRST = "<shmem name='first'><model type='ivshmem-doorbell'/><server/><msi vectors='2'/></shmem>"
SECOND = """<shmem name='any'><model type='ivshmem-doorbell'/>
<server path='/var/lib/libvirt/shmem/shmem-second-sock'/><msi vectors='2'/></shmem>"""
# What libvirtd changes where it runs, and what its packages and this test add.
WATCHED = ["/dev", "/dev/kvm", "/dev/ptmx", "/dev/pts/ptmx", "/dev/net/tun",
           *pathlib.Path("/boot").glob("*"), *pathlib.Path("/sys/fs/cgroup").glob("*"),
           "/etc/passwd", "/etc/group", "/etc/libvirt", "/etc/ivshmem", "/run/libvirt", "/run/ivshmem",
           RUN, HERE, "/usr/sbin/libvirtd", "/var/lib/libvirt/images", "/var/lib/libvirt/qemu"]


@pytest.fixture(name="image", scope="module")
def fixture_image():
    return Image().make()


@pytest.fixture(name="before", scope="module")
def fixture_before():
    """What this machine was like before there was a host."""
    return owned(WATCHED)


@pytest.fixture(name="host", scope="module")
def fixture_host(image, before):
    """A host with libvirt and our daemon, configured for it."""
    given = {"vmlinuz": image.kernel, "initrd": image.initrd, "ivshmem-server": server_program()}
    with Host(given) as host:
        host.write("/etc/ivshmem/web.conf", CONFIGURATION)
        host.start_program("server", f"{HERE}/ivshmem-server", "-F", "--config")
        eventually(host.path(CONTROL).exists, what="the server there")
        yield host


@pytest.fixture(name="control")
def fixture_control(host):
    with Control(host.path(CONTROL)) as control:
        yield control.negotiate()


@pytest.fixture(name="peer")
def fixture_peer(host):
    """A client on the host."""
    with Peer(host.path(f"{RUN}/host"), 2) as peer:
        yield peer.setup()


@pytest.fixture(name="domain", scope="module")
def fixture_domain(host):
    """One with two devices, that has booted."""
    domain = Domain(host, FIRST + SECOND)
    domain.ready()
    domain.call("load")
    yield domain
    domain.close()


def clients(control):
    return {client["name"]: client for client in control.ask("query-clients")["clients"]}


def qemu_user(host):
    return int(host.run("id", "-u", "libvirt-qemu"))


def ring_both_ways(domain, peer, address, vector):
    """Opens a device of the guest, which rings the host and is rung; gives its ID."""
    domain.bind(address)
    own = int(domain.call(f"open {address}")[0])
    peer.until_told(own)
    assert domain.call(f"wait {vector} 0") == ["1"]  # the first wait of a vector returns at once
    domain.send(f"wait {vector} {WAIT_MS}")
    peer.ring(own, vector)
    assert domain.reply() == ["1"]
    text = f"from {address}".encode()
    domain.write(64, text)
    domain.call(f"ring {peer.id} {vector}")
    assert peer.wait(vector) == 1
    assert peer.map[64:64 + len(text)] == text
    domain.call("close")
    return own


def serve_one(host, *more):
    """Starts a server with the drop-in's command line; gives the XML that it shows for libvirt."""
    path = host.path(f"{RUN}/attach.log")
    host.start_program("attach", f"{HERE}/ivshmem-server", "-F", "--memfd", "--show-attach", *more)
    shown = eventually(lambda: path.exists() and re.search(r" *<shmem.*</shmem>", path.read_text(), re.S),
                       what="the XML shown")
    return shown[0]


def test_sockets_are_there_for_qemu(host):
    """They are its user's, and the documented path leads to the one that libvirt's code knows."""
    for name in ("first", "second"):
        path = f"/var/lib/libvirt/shmem-{name}-sock"
        found = host.path(path).lstat()
        assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600
        assert found.st_uid == qemu_user(host) != 0
        assert host.run("readlink", f"/var/lib/libvirt/shmem/shmem-{name}-sock") == f"{path}\n"


def test_devices_from_the_start(host, control, domain, peer):
    """One at the path of libvirt's code, one at the documented: both ring the host and are rung."""
    for name, own in (("first", 1), ("second", 2)):
        client = clients(control)[name]
        assert (client["id"], client["uid"]) == (own, qemu_user(host))
        assert client["command"].startswith("qemu-system")
    assert {ring_both_ways(domain, peer, address, 1) for address in domain.devices()} == {1, 2}


def test_socket_that_is_not_qemus(host, domain):
    """QEMU has no rights of its own here: what the others showed is the sockets' doing."""
    xml = serve_one(host, "-S", "/tmp/closed")
    with pytest.raises(RuntimeError, match="Permission denied"):
        domain.plug(xml)


def test_device_that_is_plugged_and_unplugged(host, control, domain):
    """By the words of --show-attach, which are the README's, and with its --group kvm. The memory fits
    into what the firmware keeps free behind libvirt's bridge. Once: QEMU, without irqfd, leaves a
    handler behind for each vector's descriptor, and calls it when that number is in use again."""
    xml = serve_one(host, "--group", "kvm", "-l", "1M")
    there = domain.devices()
    with Peer(host.path("/tmp/ivshmem_socket"), 1).setup() as peer:
        domain.plug(xml)
        (plugged,) = eventually(lambda: set(domain.devices()) - set(there), TIMEOUT, "it in the guest")
        own = ring_both_ways(domain, peer, plugged, 0)
        domain.unplug(xml)
        peer.until_gone(own, TIMEOUT)
    eventually(lambda: domain.devices() == there, TIMEOUT, "it gone from the guest")
    assert {"first", "second"} <= set(clients(control))


def test_domain_that_ends(control, domain):
    domain.quit()
    eventually(lambda: not {"first", "second"} & set(clients(control)), TIMEOUT, "both gone")


def test_this_machine_is_as_it_was(host, before):
    """The last of these tests: there are no others' processes then."""
    assert host.path("/usr/sbin/libvirtd").exists()
    host.close()
    assert owned(WATCHED) == before
