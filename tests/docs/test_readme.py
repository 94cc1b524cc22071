# SPDX-License-Identifier: MIT
"""What the README tells a newcomer to do works, and what the documents point to is there."""

import os
import pathlib
import re
import shlex
import signal
import subprocess
import tempfile

import pytest
import sources
from serve import TREE, build_folder, eventually
from tool import Tool

README = (TREE / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sources.files(".md")
PAGES = [name for name in sources.files() if re.fullmatch(r"man/.*\.\d", name)]
# Commands of the README that take minutes: other tests are about them.
LONG = {"./dev demo", "./dev check"}
TIMEOUT = 60


def blocks(kind):
    """The README's blocks of code of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands():
    return [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture(name="folder")
def fixture_folder():
    """A folder in which anybody can make and remove what is his, like /tmp."""
    with tempfile.TemporaryDirectory(prefix="ivshmem-docs-") as name:
        os.chmod(name, 0o1777)
        yield pathlib.Path(name)


@pytest.fixture(name="start")
def fixture_start(stack, folder):
    """Starts a command of the README, in the tree and with a socket of its own."""

    def start(command):
        process = subprocess.Popen(
            command, cwd=TREE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            stdin=subprocess.DEVNULL)
        stack.callback(process.communicate)
        stack.callback(process.kill)
        eventually(lambda: (folder / "socket").exists() or process.poll() is not None, TIMEOUT,
                   "the socket")
        assert process.poll() is None, process.stderr.read()
        return process

    return start


def run(command, **options):
    return subprocess.run(command, cwd=TREE, text=True, capture_output=True, timeout=TIMEOUT,
                          check=False, **options)


def test_is_short():
    assert README.count("\n") < 150


def test_lists_every_manual():
    assert [name for name in PAGES if f"]({name})" not in README] == []


def test_every_command_is_known_to_these_tests():
    known = LONG | {"./dev run", *newcomer()[1:], hardened()}
    assert set(commands()) == known


def newcomer():
    """The first commands, up to the first that does not belong to ./dev run."""
    first = commands().index("./dev run")
    count = next(n for n, line in enumerate(commands()[first + 1:]) if "ivshmem-client" not in line)
    return commands()[first:first + 1 + count]


def hardened():
    return next(line for line in commands() if line.startswith("ivshmem-server "))


def test_newcomers_commands(start, folder):
    server, *clients = newcomer()
    process = start([*server.split(), "-S", str(folder / "socket")])
    told = []
    for line in clients:
        line = line.replace("build/ivshmem-client", f"{build_folder()}/ivshmem-client -S {folder}/socket")
        done = run(["sh", "-c", line])
        assert (done.returncode, done.stderr) == (0, ""), line
        told.append(done.stdout)
    assert told[0].startswith("id 0\nmemory 4194304\nvectors 1\n")
    assert told[-1] == "hello\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT) == 0
    said = process.stdout.read()
    # The README's QEMU options and XML are those that the server shows for its default socket.
    shown = plain(said.replace(f"{folder}/socket", "/tmp/ivshmem_socket"))
    qemu = plain(blocks("text")[0])
    assert qemu.split("... ")[1] in shown
    assert plain(blocks("xml")[0]) in shown
    command = next(line for line in said.splitlines() if "ivshmem-client -S" in line)
    assert command.strip() == f"{build_folder()}/ivshmem-client -S {folder}/socket"


def plain(text):
    """Words with single spaces, without what continues a line."""
    return " ".join(text.replace("\\\n", " ").split())


def test_hardened_server(start, folder):
    """With a group and a user that this machine has, and this process may become."""
    me = str(os.geteuid()) if os.geteuid() else "nobody"
    program, *options = shlex.split(hardened())
    at = options.index("--group")
    options[at + 1] = str(os.getegid())
    options[options.index("--user") + 1] = me if me == "nobody" else f"{me}:{os.getegid()}"
    process = start([build_folder() / program, *options, "-S", str(folder / "socket")])
    with Tool("-S", folder / "socket", "watch") as tool:
        assert tool.line().startswith("ready id=0")
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    assert re.search(r"^CapEff:\s*0+$", status, re.MULTILINE)
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 0
    assert not (folder / "socket").exists()


def test_dev_knows_the_long_commands():
    told = run(["./dev", "help"]).stdout
    for line in LONG:
        assert re.search(rf"^  {line.split()[1]}\b", told, re.MULTILINE)


def test_program_serves(folder):
    (program,) = blocks("c")
    program = program.replace("/tmp/ivshmem_socket", str(folder / "socket"))
    program = program.replace('"ivshmem"', f'"{folder.name}"')
    done = run(["cc", "-Wall", "-Wextra", "-Werror", "-pedantic", "-xc", "-", "-o", folder / "server",
                f"-I{TREE}/include", "-x", "none", build_folder() / "libivshmem.so",
                f"-Wl,-rpath,{build_folder()}"], input=program)
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen([folder / "server"], stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: (folder / "socket").exists(), what="the socket")
        with Tool("-S", folder / "socket", "watch") as tool:
            assert tool.line().startswith("ready id=0")
    finally:
        process.kill()
        process.wait()
        pathlib.Path("/dev/shm", folder.name).unlink(missing_ok=True)


def test_commands_of_the_client_exist():
    told = run([build_folder() / "ivshmem-client", "--help"]).stdout
    (named,) = re.findall(r"`ivshmem-client` \((.*?), or QEMU's", README, re.DOTALL)
    for name in re.findall(r"`(\w+)`", named):
        assert re.search(rf"^  {name}\b", told, re.MULTILINE)


def test_options_exist():
    told = run([build_folder() / "ivshmem-server", "--help"]).stdout
    foreign = {"--cflags", "--libs"}
    for name in set(re.findall(r"(?<![\w-])--[a-z][\w-]*", README)) - foreign:
        assert re.search(rf"{name}\b", told), name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    path = TREE / document
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            found = (path.parent / file) if file else path
            assert found.exists(), target
            if anchor:
                assert anchor in anchors(found), target


def anchors(path):
    """What a Markdown document's headings are called in links to them."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", [*DOCUMENTS, *PAGES])
def test_nothing_is_left_to_be_written(document):
    text = (TREE / document).read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX|TBD)\b", text)


@pytest.mark.parametrize("document", [*DOCUMENTS, *PAGES])
def test_programs_and_sources_that_are_named_exist(document):
    text = (TREE / document).read_text(encoding="utf-8")
    names = re.findall(r"`((?:src|tests|include|man|scripts|docs)/[\w./-]+)`", text)
    assert [name for name in names if not (TREE / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_tests_that_are_named_exist(document):
    """As in tests/protocol/test_setup.py::test_order, or src/util/test-size.c::test_parse."""
    text = (TREE / document).read_text(encoding="utf-8")
    for file, name in re.findall(r"((?:tests|src)/[\w./-]+\.(?:py|c))::(\w+)", text):
        assert re.search(rf"\b{name}\(", (TREE / file).read_text(encoding="utf-8")), f"{file}::{name}"
