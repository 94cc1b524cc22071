# SPDX-License-Identifier: MIT
"""The Debian packages under a real systemd, in a virtual machine: whatever befalls the service, peers
that are connected see nothing but its stop. One machine, and a check for each step, in their order."""

import json
import os
import shutil

import pytest
from machine import Vm
from serve import eventually
from systemd import PackageImage

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make the guest's"),
    pytest.mark.skipif(not shutil.which("mmdebstrap"), reason="needs mmdebstrap"),
]

TIMEOUT = 240  # seconds: nothing in such a machine is fast
N_PEERS = 5
N_VECTORS = 2
WATCHDOG = 12  # seconds
REGION = "[region]\nsize=1M\nvectors=2\n[listener any]\nsocket=/run/ivshmem/web\nmode=0666\n"
SERVER = "ivshmem-server.service"
INSTALL = "dpkg -i /packages/*.deb"


class Guest:
    """The machine, as somebody at its console."""

    def __init__(self, vm):
        self.vm = vm

    def shell(self, script, status=0):
        """Runs a script and gives what it prints."""
        done = self._run(script)
        if done.status != status:
            journal = self._run("journalctl --no-pager -o cat -n 40").out
            raise AssertionError(f"{script}: {done}\n{journal}")
        return done.out + done.err

    def _run(self, script):
        self.vm.call(f"given {script.encode().hex()}")
        self.vm.call("start /bin/sh -s")
        return self.vm.finish_client(timeout=TIMEOUT)

    def write(self, path, text):
        self.shell(f"mkdir -p $(dirname {path}); cat >{path} <<'END'\n{text}END\n")

    def is_active(self, unit):
        return self.shell(f"systemctl is-active {unit} || true").strip()

    def show(self, what, unit=SERVER):
        return self.shell(f"systemctl show --value -p {what} {unit}").strip()

    def main_pid(self):
        return int(self.show("MainPID"))

    def worker(self):
        """The worker's ID, the latest, 0 if there is none now."""
        found = self.shell(f"for p in $(cat /proc/{self.main_pid()}/task/*/children); do "
                           "if grep -qsx ivshmem-server /proc/$p/comm; then echo $p; fi; done")
        return int(["0", *found.split()][-1])

    def journal(self, unit=SERVER):
        return self.shell(f"journalctl --no-pager -o cat -u {unit}")

    # Peers

    def start_peers(self, name, place):
        """N_PEERS that ring each other until they are disconnected."""
        self.shell(f"rm -f /run/{name}; systemd-run -q --unit={name} /usr/bin/python3 "
                   f"/usr/local/lib/peers/guest-peers.py /run/{name} {place} {N_PEERS} {N_VECTORS}")
        self.fares(name)

    def fare(self, name):
        text = self.shell(f"cat /run/{name} || true")
        return json.loads(text) if text.startswith("{") else None

    def fares(self, name):
        """Whether they are all there and ring each other: there are turns that begin from here on."""
        first = eventually(lambda: self.fare(name), TIMEOUT, "the peers")

        def has_gone_on():
            now = self.fare(name)
            assert now["end"] is None, now["end"]
            return now["turns"] >= first["turns"] + 3

        eventually(has_gone_on, TIMEOUT, "the peers going on")

    def joins(self):
        """Somebody new comes, is told of all, and leaves."""
        told = json.loads(self.shell("ivshmem-client -S /run/ivshmem/web list --json"))
        assert len(told["peers"]) >= N_PEERS


@pytest.fixture(name="guest", scope="module")
def fixture_guest():
    with Vm(PackageImage().make()) as vm:
        vm.ready()
        guest = Guest(vm)
        guest.shell("systemctl is-system-running --wait || true")
        yield guest


@pytest.fixture(name="peers")
def fixture_peers(guest):
    """They are there from the first test that wants them to the stop: all that is between is tested."""
    if guest.fare("peers") is None:
        guest.start_peers("peers", "/run/ivshmem/web")
    guest.fares("peers")
    yield guest
    guest.fares("peers")
    guest.joins()


def test_installing_starts_it_without_a_region(guest):
    said = guest.shell(INSTALL)
    assert "warning" not in said.lower(), said
    assert guest.is_active(SERVER) == "active"
    assert guest.show("User") == "ivshmem"
    assert guest.show("StatusText") == "Serving 0 regions"
    assert guest.shell("systemctl is-enabled ivshmem-server.service").strip() == "enabled"
    assert "kvm" in guest.shell("id ivshmem")


def test_reload_makes_a_region(guest):
    guest.write(f"/etc/systemd/system/{SERVER}.d/test.conf", f"[Service]\nWatchdogSec={WATCHDOG}\n")
    guest.shell(f"systemctl daemon-reload; systemctl restart {SERVER}")
    guest.write("/etc/ivshmem/web.conf", REGION)
    guest.shell(f"systemctl reload {SERVER}")
    eventually(lambda: guest.show("StatusText") == "Serving 1 region", TIMEOUT, "the region")
    assert guest.is_active(SERVER) == "active"


def test_reload_of_nonsense_is_said(peers):
    peers.write("/etc/ivshmem/web.conf", "nonsense\n")
    peers.shell(f"systemctl reload {SERVER}")
    eventually(lambda: "the configuration is wrong" in peers.journal(), TIMEOUT, "the line in the journal")
    peers.write("/etc/ivshmem/web.conf", REGION)
    peers.shell(f"systemctl reload {SERVER}")
    assert peers.is_active(SERVER) == "active"


@pytest.mark.parametrize(("signal", "said"), [("KILL", "was killed by signal 9"),
                                              ("STOP", "has not answered the watchdog")])
def test_worker_is_replaced(peers, signal, said):
    """Whether it is killed or hangs. Then it is the keeper that acts, before systemd would."""
    main, before = peers.main_pid(), peers.worker()
    peers.shell(f"kill -{signal} {before}")
    eventually(lambda: peers.worker() not in (0, before), TIMEOUT, "another worker")
    assert peers.main_pid() == main
    assert said in peers.journal()
    assert peers.show("NRestarts") == "0"


@pytest.mark.parametrize("how", [f"systemctl restart {SERVER}", INSTALL, f"kill -9 $(systemctl show --value -p MainPID {SERVER})"],
                         ids=["restart", "reinstall", "killed-keeper"])
def test_restart_is_not_seen(peers, how):
    main = peers.main_pid()
    peers.shell(how)
    eventually(lambda: peers.main_pid() not in (0, main) and peers.is_active(SERVER) == "active", TIMEOUT,
               "the service being back")
    assert peers.show("NFileDescriptorStore") == "0"  # taken out again


def test_stop_is_what_peers_see(guest):
    guest.fares("peers")
    guest.shell(f"systemctl stop {SERVER}")
    end = eventually(lambda: guest.fare("peers")["end"], TIMEOUT, "the end of the connections")
    assert "ConnectionResetError" in end or "BrokenPipeError" in end, end
    assert guest.show("Result") == "success"
    # Its sockets are as after a crash: the process could not know that no other follows.
    assert "refused" in guest.shell("ivshmem-client -S /run/ivshmem/web list 2>&1 || true")
    guest.shell(f"systemctl start {SERVER} && ivshmem-client -S /run/ivshmem/web list")
    guest.shell(f"systemctl stop {SERVER}")


def test_socket_activation(guest):
    guest.write("/etc/systemd/system/ivshmem-server.socket.d/test.conf",
                "[Socket]\nListenStream=/run/ivshmem/web\nSocketMode=0666\n")
    guest.shell("systemctl daemon-reload; systemctl start ivshmem-server.socket")
    assert guest.is_active(SERVER) == "inactive"
    guest.start_peers("activators", "/run/ivshmem/web")
    assert guest.is_active(SERVER) == "active"
    assert "666" in guest.shell("stat -c %a /run/ivshmem/web")
    assert "web" in guest.shell("ivshmem-ctl regions")
    guest.shell(f"kill -9 {guest.worker()}")
    guest.fares("activators")
    guest.shell(f"systemctl stop ivshmem-server.socket {SERVER}")


def test_instances(guest):
    """Regions with a process each, side by side; one ends alone."""
    for name in ["one", "two"]:
        guest.write(f"/etc/ivshmem/instances/{name}.conf", REGION.replace("/web", f"/{name}"))
        guest.shell(f"systemctl start ivshmem-server@{name}")
        guest.start_peers(f"peers-{name}", f"/run/ivshmem/{name}")
    assert "one" in guest.shell("ivshmem-ctl -c /run/ivshmem/one.control regions")
    assert json.loads(guest.shell("ivshmem-client --region two list --json"))["peers"]
    guest.shell("systemctl stop ivshmem-server@one")
    eventually(lambda: guest.fare("peers-one")["end"], TIMEOUT, "the end of the connections")
    guest.fares("peers-two")
    assert "Assertion failed" in guest.shell("systemctl start ivshmem-server@three 2>&1", status=1)


def test_purge_leaves_nothing(guest):
    guest.shell("rm /etc/ivshmem/web.conf /etc/ivshmem/instances/*; dpkg --purge ivshmem-server ivshmem-tools")
    eventually(lambda: guest.fare("peers-two")["end"], TIMEOUT, "the end of the connections")
    left = guest.shell("ls -d /run/ivshmem /etc/ivshmem /etc/systemd/system/*/ivshmem-server* 2>/dev/null || true")
    assert left.split() == []
    assert "ivshmem" not in guest.shell("systemctl --no-legend list-units 'ivshmem*'")
