# SPDX-License-Identifier: MIT
"""A newcomer's first minutes: a Debian with nothing in it but a shell and apt, and a copy of the
tree without its history. Needs root, for the namespaces; takes as long as the packages do."""
import os
import pathlib
import pty
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time

import pytest
import sources

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a root of its own")

RELEASE = "bookworm"
TREE = "usr/src/ivshmem"
SOCKET = "tmp/ivshmem_socket"
ENTER = sources.ROOT / "tests/lib/enter.sh"
APT = pathlib.Path("/etc/apt")


def package_sources():
    """This machine's own, if it is of the same release: whoever set it up knows what it can reach."""
    lists = [APT / "sources.list", *APT.glob("sources.list.d/*.list"), *APT.glob("sources.list.d/*.sources")]
    lists = [path for path in lists if path.is_file()]
    if f"VERSION_CODENAME={RELEASE}" in pathlib.Path("/etc/os-release").read_text().split():
        return lists
    return []


def make_root(root):
    lists = package_sources()
    command = ["mmdebstrap", "--quiet", "--variant=minbase"]
    if any("https:" in path.read_text() for path in lists):
        command.append("--include=ca-certificates")
    subprocess.run([*command, RELEASE, root, *lists], check=True, timeout=600, stdin=subprocess.DEVNULL)
    if lists:
        shutil.rmtree(root / "etc/apt")
        shutil.copytree(APT, root / "etc/apt", symlinks=True)
    for name in ("resolv.conf", "hosts"):
        shutil.copyfile(f"/etc/{name}", root / "etc" / name)


def copy_tree(target):
    for name in sources.files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sources.ROOT / name, target / name)


def read_until(fd, pattern, output, seconds):
    """Adds what comes from fd to output until that matches; False if it ends first."""
    deadline = time.monotonic() + seconds
    while pattern is None or not re.search(pattern, output):
        ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"no {pattern or 'end'} within {seconds} s:\n{output.decode(errors='replace')}"
        try:
            chunk = os.read(fd, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            chunk = b""
        if not chunk:
            return False
        output += chunk
    return True


class Bare:
    def __init__(self, root):
        self.root = root
        self.tree = root / TREE

    def command(self, *words):
        spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        return [*spaces, ENTER, self.root, "sh", "-c", f'cd /{TREE} && exec "$@"', "sh", *words]

    def run(self, *words, seconds=60):
        """Runs a command to its end: its status and all that it has said."""
        done = subprocess.run(
            self.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds, check=False,
        )
        return done.returncode, done.stdout

    def installed(self):
        return (self.root / "var/lib/dpkg/status").stat().st_mtime_ns

    def serve(self, seconds):
        """./dev run at a terminal: waits until it serves, is a client, presses Ctrl-C."""
        path = self.root / SOCKET
        pid, terminal = pty.fork()
        if pid == 0:
            command = self.command("./dev", "run")
            os.execvp(command[0], command)
        output = bytearray()
        try:
            assert read_until(terminal, SOCKET.encode(), output, seconds), output.decode()
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(str(path))
                assert client.recv(8, socket.MSG_WAITALL) == bytes(8), "version 0 comes first"
                os.write(terminal, b"\x03")
                assert not read_until(terminal, None, output, 20)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            pid = 0
        finally:
            if pid:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
            os.close(terminal)
        text = output.decode(errors="replace")
        assert status == 0, text
        assert not path.exists()
        return text


@pytest.fixture(scope="module", name="bare")
def fixture_bare():
    with tempfile.TemporaryDirectory(prefix="ivshmem-bare-") as folder:
        os.chmod(folder, 0o755)
        root = pathlib.Path(folder, "root")
        make_root(root)
        copy_tree(root / TREE)
        yield Bare(root)


# In the order of a newcomer's steps: each finds what those before it have left.


def test_no_way_to_be_root(bare):
    status, said = bare.run("setpriv", "--reuid=65534", "--clear-groups", "./dev", "run")
    assert status == 1
    assert re.fullmatch(r"dev: not root and no sudo; install .*: .*\bgcc\b.*\n", said)


def test_no_packages_to_be_had(bare):
    nothing = 'Dir::Etc::SourceList "/dev/null"; Dir::Etc::SourceParts "/dev/null";\n'
    (bare.root / "tmp/nothing.conf").write_text(nothing)
    status, said = bare.run("env", "APT_CONFIG=/tmp/nothing.conf", "./dev", "check")
    assert status == 1
    assert "E: Unable to locate package" in said
    assert said.endswith("\n0 passed, 1 failed, 0 skipped\n")


def test_run(bare):
    assert "installing" in bare.serve(seconds=600)


def test_run_again_sets_nothing_up(bare):
    before = bare.installed()
    said = bare.serve(seconds=20)
    assert "installing" not in said and "building" not in said
    assert bare.installed() == before


def test_check(bare, record_property):
    status, said = bare.run("./dev", "check", seconds=2400)
    record_property("check", said)
    print(said)
    stages = subprocess.check_output([sources.ROOT / "dev", "check", "--list"], text=True).split()
    for stage in set(stages) - {"bare", "asan-exporter", "asan-attacks"}:  # of the long mode
        assert re.search(rf"^{stage}\b.* ok: ", said, re.MULTILINE), f"{stage} has not run"
    tally = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", said.splitlines()[-1])
    assert tally and int(tally[1]) > 0 and tally[2] == "0"
    assert status == 0


def test_check_again_sets_nothing_up(bare):
    before = bare.installed()
    status, said = bare.run("./dev", "check", "build", seconds=120)
    assert status == 0 and "installing" not in said
    assert bare.installed() == before
