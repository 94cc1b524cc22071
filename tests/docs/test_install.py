# SPDX-License-Identifier: MIT
"""meson install: what is there, and that programs can be made with it."""

import os
import pathlib
import re
import subprocess
import tempfile

import pytest
from serve import TREE, build_folder

HEADERS = sorted((TREE / "include").glob("*.h"))
PROGRAM = """
#include <ivshmem-client.h>
#include <ivshmem-device.h>
#include <ivshmem-server.h>
#include <stdio.h>

int main(void)
{
    static IvshmemServer server;
    static IvshmemClient client;

    printf("%d ", ivshmem_server_init(&server, "socket", "name", true, 5000, 1, false));
    printf("%zu ", server.shm_size);
    printf("%d ", ivshmem_client_init(&client, "socket", NULL, NULL, false));
    printf("%d\\n", ivshmem_device_list(&(IvshmemDeviceOptions){.root = "/nowhere"}, NULL, 0) < 0);
    return 0;
}
"""


def output(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(name="root", scope="module")
def fixture_root():
    with tempfile.TemporaryDirectory(prefix="ivshmem-install-") as root:
        output("meson", "install", "-C", build_folder(), "--no-rebuild", "--destdir", root)
        yield pathlib.Path(root)


@pytest.fixture(name="prefix", scope="module")
def fixture_prefix(root):
    """Where things have gone: usr/local, unless the build is set up otherwise."""
    (program,) = root.rglob("bin/ivshmem-server")
    return program.parents[1]


@pytest.fixture(name="flags", scope="module")
def fixture_flags(root):
    """What pkg-config says, of the installed library."""
    (found,) = root.rglob("libivshmem.pc")
    environment = {**os.environ, "PKG_CONFIG_PATH": str(found.parent),
                   "PKG_CONFIG_SYSROOT_DIR": str(root)}

    def flags(*options):
        return output("pkg-config", *options, "libivshmem", env=environment).split()

    return flags


def library_folder(root):
    (found,) = root.rglob("libivshmem.so")
    return found.parent


def test_everything_is_there(root, prefix):
    for name in ["ivshmem-server", "ivshmem-client", "ivshmem-ctl", "ivshmem-exporter"]:
        assert os.access(prefix / "bin" / name, os.X_OK)
        assert re.fullmatch(rf"{name} \d+\.\d+\.\d+\n", output(prefix / "bin" / name, "--version"))
    assert sorted(path.name for path in (prefix / "include").iterdir()) == [h.name for h in HEADERS]
    pages = {path.name for path in (prefix / "share/man").rglob("*.*")}
    assert pages == {page.name for page in (TREE / "man").glob("*.[1-8]")}
    folder = library_folder(root)
    assert (folder / "libivshmem.a").exists()
    assert (folder / "libivshmem.so").resolve().parent == folder


def test_nothing_else_is_there(root):
    files = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    expected = (r"(bin/ivshmem-\w+|include/ivshmem-\w+\.h|libivshmem\.(a|pc|so[.\d]*)|man\d/ivshmem\S+\.\d"
                r"|completions/ivshmem-\w+|share/doc/ivshmem/example\.conf|share/ivshmem/grafana/ivshmem\.json"
                r"|lib/(udev/rules\.d/80-ivshmem\.rules|sysusers\.d/ivshmem(-server)?\.conf"
                r"|systemd/system/ivshmem-(server|setup|exporter)@?\.(service|socket)))")
    assert [name for name in files if not re.search(rf"/{expected}$", name)] == []


def test_library_has_every_public_function_and_no_other_symbol(root):
    symbols = output("nm", "-D", "--defined-only", "--format=posix", library_folder(root) / "libivshmem.so")
    exported = {line.split("@")[0].split()[0] for line in symbols.splitlines() if " A " not in line}
    declared = set()
    for header in HEADERS:
        text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.DOTALL)
        declared |= set(re.findall(r"\b(ivshmem_\w+)\([^;{]*\);", text))
    assert exported == declared


@pytest.mark.parametrize("kind", ["shared", "static"])
def test_program_is_made_with_pkg_config(root, flags, kind, tmp_path):
    program = tmp_path / "program"
    static = ["-static"] if kind == "static" else []
    libraries = flags("--libs", *["--static"][:len(static)])
    output("cc", "-std=c99", "-Wall", "-Wextra", "-Werror", *static, "-xc", "-", "-o", program,
           *flags("--cflags"), "-x", "none", *libraries, input=PROGRAM)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library_folder(root))}
    assert output(program, env=environment).startswith("0 8192 0 ")


def test_version_is_one(flags, root, prefix):
    program = output(prefix / "bin/ivshmem-server", "--version").split()[1]
    assert flags("--modversion") == [program]
    assert (library_folder(root) / "libivshmem.so").resolve().name == f"libivshmem.so.{program}"
