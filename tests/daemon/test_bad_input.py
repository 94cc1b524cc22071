# SPDX-License-Identifier: MIT
"""What cannot work is refused: one line on standard error that says what, which and why, status 1,
and nothing is left behind or removed but the lock file. As a daemon, too."""

import contextlib
import fcntl
import os
import pathlib
import resource
import shutil
import socket
import stat
import subprocess

import pytest
from place import can_mount
from serve import offers

K64 = 64 << 10


def line_of(done):
    """The one line of a refusal."""
    assert done.returncode == 1, done
    assert not done.stdout
    assert done.stderr.endswith("\n") and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("ivshmem-server: ")
    return done.stderr


@pytest.fixture(name="refused", params=[True, False], ids=["foreground", "daemon"])
def fixture_refused(place, request):
    """Runs the program, which must refuse with a line that has all these words."""

    def run(*arguments, says=(), **options):
        before = place.files()
        line = line_of(place.run(*arguments, foreground=request.param, **options))
        missing = [word for word in says if str(word) not in line]
        assert not missing, f"not said in: {line}"
        assert place.files() == before
        return line

    run.foreground = request.param
    return run


# What is wrong by itself: arguments, and what must be said. Braces stand for the place's folder.

WRONG = {
    "unknown short option": (["-x"], ["-x", "unknown option"]),
    "unknown short option behind a known one": (["-Fx"], ["-x", "unknown option"]),
    "unknown long option": (["--nonsense"], ["--nonsense", "unknown option"]),
    "unknown long option with a value": (["--nonsense=1"], ["--nonsense", "unknown option"]),
    "abbreviated long option": (["--mem"], ["'--mem'", "unknown option"]),
    "abbreviated long option with a value": (["--vector", "2"], ["'--vector'", "unknown option"]),
    "short option without its value": (["-l"], ["-l", "value"]),
    "long option without its value": (["--size"], ["--size", "value"]),
    "flag with a value": (["--foreground=yes"], ["--foreground"]),
    "ambiguous long option": (["--s"], ["--s"]),
    "an argument left over": (["left over"], ["'left over'", "unexpected"]),
    "an argument behind --": (["--", "-F"], ["'-F'", "unexpected"]),
    "empty socket path": (["-S", ""], ["socket"]),
    "socket path too long by one byte": (["-S", "/" + 107 * "x"], ["socket", "108", "107"]),
    "socket path far too long": (["-S", "/" + 5000 * "x"], ["socket", "5001", "107"]),
    "socket in no folder": (["-S", "{}/no/s"], ["{}/no/s", "No such file"]),
    "socket below a file": (["-S", "{}/file/s"], ["{}/file/s", "Not a directory"]),
    "socket path is a file": (["-S", "{}/file"], ["{}/file", "not a socket"]),
    "socket path is a folder": (["-S", "{}/folder"], ["{}/folder", "not a socket"]),
    "socket path is a pipe": (["-S", "{}/pipe"], ["{}/pipe", "not a socket"]),
    "socket path is a link to nothing": (["-S", "{}/link"], ["{}/link", "not a socket"]),
    "empty object name": (["-M", ""], ["shared memory"]),
    "object name of slashes": (["-M", "//"], ["//", "shared memory"]),
    "object name with a slash": (["-M", "a/b"], ["a/b", "shared memory"]),
    "object name too long": (["-M", 254 * "x"], ["shared memory", "254", "253"]),
    "object name far too long": (["-M", 10000 * "x"], ["shared memory", "10000"]),
    "empty directory": (["-m", ""], ["shared memory"]),
    "no such directory": (["-m", "{}/no"], ["{}/no", "No such file"]),
    "directory is a file": (["-m", "{}/file"], ["{}/file", "Not a directory"]),
    **{
        f"size {text or 'of nothing'}": (["-l", text], ["size", f"'{text}'", why])
        for text, why in [
            ("", "not a size"), ("0", "out of range"), ("0K", "out of range"), ("abc", "not a size"),
            ("-1", "not a size"), ("+1", "not a size"), ("0x1000", "not a size"), ("4KB", "not a size"),
            ("4 K", "not a size"), ("1.5M", "not a size"), ("K", "not a size"), ("4P", "not a size"),
            ("18446744073709551616", "out of range"), ("18446744073709551617", "out of range"),
            ("16777216T", "out of range"), ("18014398509481985K", "out of range"),
            ("99999999999999999999999999", "out of range"),
        ]
    },
    "size past what a file can have": (["-l", "8388608T"], ["9223372036854775808"]),
    "more than the memory there is": (["-l", "1024T"], ["1024T", "available"]),
    "more than the memory there is, rounded": (["-l", "1025T", "--memfd"], ["2048T", "available"]),
    **{
        f"vectors {text or 'of nothing'}": (["-n", text], ["vectors", f"'{text}'", "1 to 2048"])
        for text in ["", "0", "2049", "-1", "abc", "1.5", "0x10", "4294967297", "18446744073709551617"]
    },
}
LIMITS = {
    "max-clients": "1 to 65536", "max-clients-per-user": "1 to 65536", "max-accepts": "1 to 1000000",
    "backlog": "1 to 65535", "setup-timeout": "1 to 86400000",
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong(place, refused, case):
    arguments, says = WRONG[case]
    (place.folder / "file").write_text("kept\n", encoding="ascii")
    (place.folder / "folder").mkdir()
    (place.folder / "link").symlink_to("nowhere")
    os.mkfifo(place.folder / "pipe")
    refused(*[word.replace("{}", str(place.folder)) for word in arguments],
            says=[word.replace("{}", str(place.folder)) for word in says])


@pytest.mark.parametrize("option", [option for option in LIMITS if offers(f"--{option}")])
@pytest.mark.parametrize("value", ["0", "-1", "abc", "", "99999999999999999999"])
def test_wrong_limit(refused, option, value):
    refused(f"--{option}", value, says=[option, f"'{value}'", f"from {LIMITS[option]}"])


def test_verbose_daemon(place):
    before = place.files()
    line = line_of(place.run("-v", foreground=False))
    assert "cannot use verbose in daemon mode" in line
    assert place.files() == before


# The socket's path

def test_path_where_a_server_lives(place, refused):
    server = place.server()
    peer = place.peer()
    refused(says=[place.socket, "another server"])
    refused("-M", f"{place.name}-2", says=[place.socket, "another server"])
    refused("--memfd", says=[place.socket, "another server"])
    assert place.peer().id == 1
    peer.until_told(1)
    assert server.stop() == 0


def test_path_where_a_foreign_server_lives(place, refused):
    """One that knows nothing of the lock, such as QEMU's."""
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(str(place.socket))
        foreign.listen(1)
        refused(says=[place.socket, "another server"])
        foreign.settimeout(10)
        foreign.accept()[0].close()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(place.socket))


def test_path_where_a_busy_foreign_server_lives(place, refused):
    """Its backlog is full."""
    with contextlib.ExitStack() as stack:
        foreign = stack.enter_context(socket.socket(socket.AF_UNIX))
        foreign.bind(str(place.socket))
        foreign.listen(0)
        stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(place.socket))
        refused(says=[place.socket, "another server"])


def test_path_of_a_datagram_socket(place, refused):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(place.socket))
        refused(says=[place.socket])


# The memory

@pytest.mark.parametrize("size", [0, 4096, K64 - 1, K64 + 1, 2 * K64])
def test_existing_object_of_another_size(place, refused, size):
    place.make_object(size)
    refused(says=[place.name, "64K", "exists", f"/dev/shm/{place.name}"])
    assert place.object().read_bytes() == bytes(size)


def test_existing_object_that_may_not_be_opened(place, refused):
    place.object().mkdir()
    try:
        refused(says=[place.name])
    finally:
        place.object().rmdir()


HUGE_PAGES = ["unshare", "-m", "sh", "-c", 'mount -t hugetlbfs none /mnt && exec "$@"', "sh"]


@pytest.mark.skipif(not can_mount(), reason="no mount namespace of our own")
def test_directory_of_huge_pages(refused):
    """What is less than a page, and more than all pages."""
    refused("-m", "/mnt", says=["64K", "huge page", "/mnt"], before=HUGE_PAGES)
    refused("-m", "/mnt", "-l", "1T", says=["1T", "no room", "/mnt"], before=HUGE_PAGES)


# The pidfile

@pytest.mark.parametrize(
    ("path", "why"),
    [("{}/no/pid", "No such file"), ("{}/folder", "Is a directory"), ("", "No such file"),
     ("{}/link", "symbolic link")],
)
def test_pidfile_that_cannot_be_written(place, path, why):
    (place.folder / "folder").mkdir()
    (place.folder / "target").write_text("kept\n", encoding="ascii")
    (place.folder / "link").symlink_to(place.folder / "target")
    path = path.replace("{}", str(place.folder))
    before = place.files()
    line = line_of(place.run("-p", path, foreground=False))
    assert f"pidfile {path}" in line and why in line
    assert place.files() == before
    assert (place.folder / "target").read_text(encoding="ascii") == "kept\n"


def test_pidfile_that_is_locked(place):
    place.pidfile.write_text("a number\n", encoding="ascii")
    with open(place.pidfile, "r+b") as holder:
        fcntl.lockf(holder, fcntl.LOCK_EX)
        before = place.files()
        line = line_of(place.run(foreground=False))
        assert f"pidfile {place.pidfile}" in line and "running daemon" in line
        assert place.files() == before
        assert place.pidfile.read_text(encoding="ascii") == "a number\n"


def test_pidfile_is_not_there_after_another_failure(place):
    line_of(place.run("-S", "/nonexistent/socket", foreground=False))
    assert not place.pidfile.exists()


# Rights and resources

@pytest.fixture(name="unprivileged_place")
def fixture_unprivileged_place(place, unprivileged):
    """The program can be read by the user; the folder cannot be written."""
    place.program = shutil.copy(place.program, place.folder / "server")
    place.folder.chmod(0o755)
    shut = place.folder / "shut"
    shut.mkdir(0o755)
    open_ = place.folder / "open"
    open_.mkdir()
    if os.geteuid() == 0:
        os.chown(open_, unprivileged, unprivileged)
        place.options = {"user": unprivileged, "group": unprivileged, "extra_groups": []}
    else:
        place.options = {}
        shut.chmod(0o555)
    place.socket = open_ / "socket"
    place.pidfile = open_ / "pid"
    return place


def test_folder_that_may_not_be_written(unprivileged_place, refused):
    place = unprivileged_place
    refused("-S", place.folder / "shut/s", says=[place.folder / "shut/s", "Permission denied"],
            **place.options)
    refused("-m", place.folder / "shut", says=[place.folder / "shut", "Permission denied"],
            **place.options)


def test_lock_file_of_another_user(unprivileged_place, refused):
    place = unprivileged_place
    lock = pathlib.Path(f"{place.socket}.lock")
    lock.touch()
    lock.chmod(0o600 if os.geteuid() == 0 else 0)
    refused(says=[place.socket, lock, "Permission denied", "another user's"], **place.options)


def test_help_that_cannot_be_written(place):
    with open("/dev/full", "wb") as full:
        for option in ["--help", "--version"]:
            done = subprocess.run([place.program, option], stdout=full, stderr=subprocess.PIPE,
                                  text=True, timeout=20, check=False)
            assert line_of(done) == ("ivshmem-server: cannot write to standard output: "
                                     "No space left on device\n")


def test_pidfile_that_may_not_be_written(unprivileged_place):
    place = unprivileged_place
    before = place.files()
    for path in [place.folder / "shut/pid", "/var/run/ivshmem-server.pid"]:
        line = line_of(place.run("-p", path, foreground=False, **place.options))
        assert f"pidfile {path}" in line and "Permission denied" in line
    assert place.files() == before


def test_unprivileged_server_works(unprivileged_place):
    place = unprivileged_place
    pid = place.daemon(**place.options)
    assert pathlib.Path(f"/proc/{pid}").stat().st_uid == place.socket.stat().st_uid
    place.peer()


@pytest.mark.parametrize("nofile", [8, 40])
def test_too_few_descriptors_for_one_client(place, refused, nofile):
    refused(says=["open files", "ulimit -n"], preexec_fn=limit_to(nofile))


def test_too_few_descriptors_for_so_many_vectors(refused):
    refused("-n", "2048", says=["open files", "ulimit -n"], preexec_fn=limit_to(1024))


def limit_to(nofile):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))


def test_failed_start_leaves_what_it_found(place, refused):
    """An object and a socket that were there before."""
    place.make_object(K64)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place.socket))
    refused("-p" if not refused.foreground else "-m", "/nonexistent/x", says=["/nonexistent/x"])
    assert stat.S_ISSOCK(place.socket.lstat().st_mode)
    assert place.object().stat().st_size == K64
