# SPDX-License-Identifier: MIT
"""The Debian packages that `./dev package` has built: what is in them, and what they do when they are
installed. That they do it is for tests/vm/test_service.py to see."""

import os
import pathlib
import re
import subprocess

import pytest
from serve import TREE, build_folder

PACKAGES = ["ivshmem-exporter", "ivshmem-server", "ivshmem-tools", "libivshmem-dev", "libivshmem0"]
PROGRAMS = ["ivshmem-client", "ivshmem-ctl", "ivshmem-exporter", "ivshmem-server"]
REPLACING = ["ivshmem-server", "ivshmem-tools"]  # they have programs that QEMU's packages had
VERSION = re.search(r"version: '([\d.]+)'", (TREE / "meson.build").read_text(encoding="utf-8"))[1]


def run(*command, status=0, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120,
                          check=False, env={**os.environ, "LC_ALL": "C.UTF-8"}, **options)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def deb(name):
    (path,) = build_folder().glob(f"{name}_*.deb")
    return path


def files(name):
    """The paths of a package's files and links, as they are installed."""
    listed = run("dpkg-deb", "--contents", deb(name)).splitlines()
    return {line.split()[5].removeprefix(".") for line in listed if not line.startswith("d")}


def field(name, which):
    return run("dpkg-deb", "--field", deb(name), which).strip()


@pytest.fixture(name="scripts", scope="module")
def fixture_scripts(tmp_path_factory):
    """The server's maintainer scripts, by their names."""
    folder = tmp_path_factory.mktemp("control")
    run("dpkg-deb", "--control", deb("ivshmem-server"), folder)
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_all_packages_are_there():
    made = {path.name.split("_")[0] for path in build_folder().glob("*.deb")}
    assert {name for name in made if not name.endswith("-dbgsym")} == set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_version_is_the_trees(name):
    assert field(name, "Version") == VERSION


def test_lintian_has_nothing_to_say():
    (changes,) = build_folder().glob("*.changes")
    assert run("lintian", "--allow-root", "--fail-on=error,warning", "--tag-display-limit=0", changes) == ""


def test_each_program_is_in_one_package_with_its_manual_and_completion():
    for program in PROGRAMS:
        (name,) = [name for name in PACKAGES if f"/usr/bin/{program}" in files(name)]
        assert f"/usr/share/man/man1/{program}.1.gz" in files(name)
        assert f"/usr/share/bash-completion/completions/{program}" in files(name)
    listed = {path for name in PACKAGES for path in files(name) if path.startswith("/usr/bin/")}
    assert listed == {f"/usr/bin/{program}" for program in PROGRAMS}


def test_every_manual_is_in_one_package():
    pages = [path for name in PACKAGES for path in files(name) if path.startswith("/usr/share/man/")]
    assert sorted(pathlib.Path(page).name.removesuffix(".gz") for page in pages) == sorted(
        page.name for page in (TREE / "man").glob("*.[1-8]"))


def test_no_file_is_in_two_packages():
    seen = [path for name in PACKAGES for path in files(name)]
    assert len(seen) == len(set(seen))


def test_server_has_what_it_needs_to_serve():
    assert files("ivshmem-server") >= {
        "/etc/ivshmem/example", "/lib/systemd/system/ivshmem-server.service",
        "/lib/systemd/system/ivshmem-server.socket", "/lib/systemd/system/ivshmem-server@.service",
        "/usr/lib/sysusers.d/ivshmem-server.conf"}
    for library in ["libseccomp2", "libsystemd0"]:
        assert library in field("ivshmem-server", "Depends")


def test_guest_has_its_devices_set_up():
    assert files("ivshmem-tools") >= {
        "/lib/systemd/system/ivshmem-setup@.service", "/lib/udev/rules.d/80-ivshmem.rules",
        "/usr/lib/sysusers.d/ivshmem.conf"}


def test_units_name_programs_that_are_installed(tmp_path):
    for name in PACKAGES[:3]:
        run("dpkg-deb", "--extract", deb(name), tmp_path)
    programs = {path for unit in (tmp_path / "lib/systemd/system").glob("*.service")
                for path in re.findall(r"^Exec\w+=(/usr\S+)", unit.read_text(), re.MULTILINE)}
    assert programs == {"/usr/bin/ivshmem-client", "/usr/bin/ivshmem-exporter", "/usr/bin/ivshmem-server"}
    for program in programs:
        assert os.access(f"{tmp_path}{program}", os.X_OK)


def test_example_is_a_configuration(tmp_path):
    """As it is, and with everything in it that is a comment for a start."""
    run("dpkg-deb", "--extract", deb("ivshmem-server"), tmp_path)
    text = (tmp_path / "etc/ivshmem/example").read_text(encoding="utf-8")
    folder = tmp_path / "config"
    folder.mkdir()
    for variant in [text, re.sub(r"^#(?=\[|\w)", "", text, flags=re.MULTILINE)]:
        # This machine's groups are not Debian's.
        (folder / "web.conf").write_text(variant.replace("group = kvm", "group = 0"), encoding="utf-8")
        run(tmp_path / "usr/bin/ivshmem-server", "--check-config", "--config", folder)
    assert len(re.findall(r"^\[listener", variant, re.MULTILINE)) == 2


def test_library_is_linked_by_its_package(tmp_path):
    run("dpkg-deb", "--extract", deb("libivshmem0"), tmp_path)
    run("dpkg-deb", "--control", deb("libivshmem0"), tmp_path / "control")
    symbols = (tmp_path / "control/symbols").read_text(encoding="ascii")
    assert re.search(rf"^ ivshmem_server_start@LIBIVSHMEM_0\.1 {re.escape(VERSION)}", symbols, re.MULTILINE)
    assert field("libivshmem-dev", "Depends").startswith(f"libivshmem0 (= {VERSION})")


# What happens to a server at an upgrade


def test_upgrade_restarts_and_never_stops(scripts):
    """With its clients in the fd store a restart disconnects nobody; a stop and a start would."""
    assert "_dh_action=restart" in scripts["postinst"]
    assert "try-restart 'ivshmem-server@*.service'" in scripts["postinst"]
    assert "preinst" not in scripts
    for line in scripts["prerm"].splitlines():
        if "deb-systemd-invoke stop" in line:
            condition = scripts["prerm"].split(line)[0].rsplit("if ", 1)[1]
            assert '"$1" = remove' in condition


def test_socket_unit_is_for_who_wants_it(scripts):
    assert "deb-systemd-helper --quiet was-enabled 'ivshmem-server.service'" in scripts["postinst"]
    assert "deb-systemd-helper debian-installed 'ivshmem-server.socket'" in scripts["postinst"]
    assert "_dh_action 'ivshmem-server.socket'" not in scripts["postinst"]


# Packages that have programs of the same names


@pytest.fixture(name="admin")
def fixture_admin(tmp_path):
    """dpkg's own folder, of a system on which one package is installed."""

    def make(package, version):
        (tmp_path / "info").mkdir()
        (tmp_path / "updates").mkdir()
        (tmp_path / "status").write_text(
            f"Package: {package}\nStatus: install ok installed\nArchitecture: amd64\nMaintainer: x\n"
            f"Version: {version}\nDescription: x\n", encoding="ascii")
        (tmp_path / "info" / f"{package}.list").write_text("/.\n/usr/bin/ivshmem-server\n", encoding="ascii")
        return tmp_path

    return make


def unpack(admin, name, status):
    return run("dpkg", "--admindir", admin, "--no-act", "--unpack", deb(name), status=status)


@pytest.mark.parametrize("name", REPLACING)
@pytest.mark.parametrize("other", ["qemu-system-common", "qemu-utils"])
def test_old_qemu_is_in_the_way(admin, name, other):
    said = unpack(admin(other, "1:3.1+dfsg-8+deb10u8"), name, 1)
    assert f"{other} (<< 1:5.2)" in said and "conflict" in said


@pytest.mark.parametrize("name", REPLACING)
def test_new_qemu_is_not(admin, name):
    unpack(admin("qemu-system-common", "1:7.2+dfsg-7"), name, 0)
