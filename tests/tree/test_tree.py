# SPDX-License-Identifier: MIT
"""The tree keeps its own rules: layers, licence lines, format, public headers, scripts, manuals."""
import pathlib
import re
import subprocess

import pytest
import sources

# What each module may use: nothing that is not named here.
BELOW_PEERS = {"util", "wire", "region"}
PEERS = {"server", "client", "device"}
USES = {
    "util": set(),
    "wire": {"util"},
    "region": {"util", "wire"},
    "server": BELOW_PEERS,
    "client": BELOW_PEERS,
    "device": BELOW_PEERS,
    "port": BELOW_PEERS | PEERS,
    "qmp": {"util"},
    "daemon": BELOW_PEERS | PEERS | {"port", "qmp"},
    "tools": BELOW_PEERS | PEERS | {"port", "qmp"},
}

# And within the daemon: these parts of it use none but those.
DAEMON_USES = {"process": {"process"}, "settings": {"process", "settings"}}

C_FILES = sources.files(".c", ".h")
MODULE_FILES = [name for name in C_FILES if re.match(r"src/\w+/", name)]
PUBLIC_HEADERS = [name for name in sources.files(".h") if name.startswith("include/")]
SCRIPTS = ["dev", ".ci/run", *sources.files(".sh")]
MANUALS = [name for name in sources.files() if re.search(r"\.[1-8](\.in)?$", name)]
NEED_NO_LICENCE = re.compile(
    r"(^|/)(LICENSE|\.gitignore|\.gitattributes)$"
    r"|\.(md|json|svg|png|csv|txt|bin|patch)$"
    r"|^fuzz/corpus/|(^|/)corpus/"
    r"|^debian/(changelog|copyright|source/format)$"  # whose form is given
)


def read(name):
    return (sources.ROOT / name).read_text(encoding="utf-8")


def run(*command, **options):
    """Runs a tool in the tree; what it says is the test's failure."""
    done = subprocess.run(
        command, cwd=sources.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60, check=False, **options,
    )
    if done.returncode:
        pytest.fail(done.stdout, pytrace=False)
    return done.stdout


def includes(name):
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', read(name), re.MULTILINE)


def owner(header):
    """The module that a header belongs to, None for one that is not ours."""
    public = re.fullmatch(r"ivshmem-(\w+)\.h", header)
    if public:
        return public.group(1)
    module = header.split("/")[0]
    return module if "/" in header and module in USES else None


def test_modules_use_only_those_below():
    wrong = []
    for name in MODULE_FILES:
        module = name.split("/")[1]
        assert module in USES, f"{name}: no module that this test knows"
        allowed = USES[module] | {module, None}
        wrong += [f"{name}: {header}" for header in includes(name) if owner(header) not in allowed]
    assert not wrong


def test_parts_of_the_daemon_use_only_those_below():
    wrong = []
    for part, allowed in DAEMON_USES.items():
        names = [name for name in C_FILES if name.startswith(f"src/daemon/{part}/")]
        assert names, f"src/daemon/{part} is empty"
        wrong += [f"{name}: {header}" for name in names for header in includes(name)
                  if header.startswith("daemon/") and header.split("/")[1] not in allowed]
    assert not wrong


def test_public_headers_use_only_public_headers():
    ours = {pathlib.PurePath(header).name for header in PUBLIC_HEADERS}
    wrong = [
        f"{name}: {header}"
        for name in PUBLIC_HEADERS
        for header in includes(name)
        if header not in ours and (owner(header) or (sources.ROOT / "src" / header).exists())
    ]
    assert not wrong


@pytest.mark.parametrize(
    "compiler", [("gcc", "-std=c99", "-xc"), ("g++", "-std=c++11", "-xc++")], ids=["c99", "c++11"]
)
def test_public_headers_compile_alone(compiler):
    flags = ["-pedantic", "-Wall", "-Wextra", "-Werror", "-Iinclude", "-fsyntax-only", "-"]
    for name in PUBLIC_HEADERS:
        run(*compiler, *flags, input=f'#include "{pathlib.PurePath(name).name}"\n' * 2)


def test_licence_lines():
    wrong = []
    for name in sources.files():
        if not NEED_NO_LICENCE.search(name):
            top = read(name)[:600].splitlines()[:6]
            if not any("SPDX-License-Identifier: MIT" in line for line in top):
                wrong.append(name)
    assert not wrong, "no SPDX line at their top"


def test_format():
    run("clang-format", "--dry-run", "-Werror", *C_FILES)


def test_shell_scripts():
    run("shellcheck", "-x", *SCRIPTS)


def test_manuals():
    if MANUALS:
        run("mandoc", "-T", "lint", "-W", "warning", *MANUALS)
