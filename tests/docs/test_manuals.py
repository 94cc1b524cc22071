# SPDX-License-Identifier: MIT
"""The manuals of the libraries say what the headers say, and their examples are programs."""
import json
import re
import subprocess

import pytest
import sources
from serve import TREE

LIBRARIES = ["client", "device", "port", "server"]
PAGES = sorted((TREE / "man").glob("*.[1-8]"))
# Of other packages: what a page of ours may send the reader to.
FOREIGN = {"connect 2", "eventfd 2", "execve 2", "landlock 7", "memfd_create 2", "modprobe 8", "prlimit 1", "ps 1",
           "munmap 2", "poll 2", "qemu-system-x86_64 1", "select 2", "shm_overview 7", "syslog 3",
           "systemd 1", "write 2"}


def read(path):
    return path.read_text(encoding="utf-8")


def page_of(library):
    return read(TREE / "man" / f"ivshmem_{library}.3")


def plain(text):
    """C code without what does not matter."""
    return re.sub(r"\s*([(),*;])\s*", r"\1", " ".join(text.split()))


def declared(library):
    """The functions of a header: {name: prototype}."""
    header = read(TREE / "include" / f"ivshmem-{library}.h")
    found = re.findall(r"^IVSHMEM_API ([^;]*?(ivshmem_\w+)\([^;]*\));", header, re.MULTILINE)
    return {name: plain(prototype) for prototype, name in found}


def one_line(match):
    return f".Fn {match[1]} " + match[2].replace(".Fa ", "").replace("\n", " ")


def documented(library):
    """The functions of a manual's synopsis, as in declared()."""
    synopsis = re.split(r"^\.Sh ", page_of(library), flags=re.MULTILINE)[3]
    assert synopsis.startswith("SYNOPSIS")
    synopsis = re.sub(r"^\.Fo (.*)\n((?:\.Fa .*\n)*)\.Fc$",
                      one_line, synopsis, flags=re.MULTILINE)
    found = re.findall(r'^\.Ft "?([^"\n]*)"?\n\.Fn (ivshmem_\w+) (.*)$', synopsis, re.MULTILINE)
    prototypes = {}
    for result, name, arguments in found:
        arguments = ", ".join(re.findall(r'"([^"]*)"', arguments) or arguments.split())
        prototypes[name] = plain(f"{result} {name}({arguments})")
    return prototypes


@pytest.mark.parametrize("library", LIBRARIES)
def test_library_manual_has_every_function_as_it_is_declared(library):
    assert declared(library)
    assert documented(library) == declared(library)
    names = re.findall(r"^\.Nm (ivshmem_\w+)", page_of(library), re.MULTILINE)
    assert sorted(names) == sorted(declared(library))


@pytest.mark.parametrize("library", LIBRARIES)
def test_library_manual_explains_every_function(library):
    description = page_of(library).split(".Sh DESCRIPTION\n")[1]
    explained = set(re.findall(r"^\.Fn (ivshmem_\w+)", description, re.MULTILINE))
    assert explained >= set(declared(library))


@pytest.mark.parametrize(("struct", "section"), [
    ("IvshmemServerConfig", "Configuration"), ("IvshmemServerListenerConfig", "Listeners")])
def test_server_manual_has_all_that_can_be_told(struct, section):
    header = re.sub(r"/\*.*?\*/", "", read(TREE / "include/ivshmem-server.h"), flags=re.DOTALL)
    members = re.search(rf"typedef struct {struct} \{{(.*?)^\}} {struct};", header,
                        re.DOTALL | re.MULTILINE)[1]
    fields = re.findall(r"(?:\(\*)?\b(\w+)(?:\)\([^;]*\))?;", members)
    assert {"unix_sock_path", "backlog", "n_vectors"} <= set(fields)
    settings = re.split(r"^\.S[hs] ", page_of("server").split(f".Ss {section}\n")[1],
                        flags=re.MULTILINE)[0]
    items = " ".join(re.findall(r"^\.It F[an] (.*)$", settings, re.MULTILINE))
    assert set(fields) <= set(re.findall(r"\w+", items))


def test_server_manual_has_all_constants():
    header = read(TREE / "include/ivshmem-server.h")
    values = set(re.findall(r"\bIVSHMEM_SERVER_(?:MEMORY|REFUSED|ADMIT|REFUSE)\w*\b", header))
    assert values <= set(re.findall(r"^\.Dv (IVSHMEM\w+)", page_of("server"), re.MULTILINE))


@pytest.mark.parametrize("library", LIBRARIES)
def test_library_manual_has_an_example_that_compiles(library):
    example = page_of(library).split(".Sh EXAMPLES")[1].split(".Bd -literal -offset indent\n")[1]
    program = example.split("\n.Ed")[0].replace("\\e", "\\")
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-xc",
                    f"-I{TREE / 'include'}", "-"], input=program, text=True, check=True, timeout=60)


def test_pages_refer_to_pages_that_exist():
    ours = {" ".join(page.name.rsplit(".", 1)) for page in PAGES}
    for page in PAGES:
        references = set(re.findall(r"^\.Xr (\S+ \d)", read(page), re.MULTILINE))
        assert references <= ours | FOREIGN, page.name


def test_every_page_is_installed():
    listed = re.findall(r"'(\S+\.\d)'", read(TREE / "man/meson.build"))
    assert listed == [page.name for page in PAGES]


def rendered(page):
    done = subprocess.run(["mandoc", "-Tutf8", "-Owidth=200", page], capture_output=True, text=True,
                          check=True, timeout=60)
    return re.sub(".\b", "", done.stdout)


@pytest.mark.parametrize("name", ["ivshmem-client.1", "ivshmem-control.7"])
def test_json_is_json(name):
    """Each object of an example, as a reader sees it; dots stand for what is left out."""
    text = re.sub(r'(?<!")\.\.\.(?!")', "", rendered(TREE / "man" / name))
    begins = [match.start() for match in re.finditer(r'^ +\{"', text, re.MULTILINE)]
    for begin in begins:
        json.JSONDecoder().raw_decode(text[begin:].lstrip())
    assert begins


def test_server_manual_quotes_the_lines_of_the_log():
    """Letters that stand alone, and words in capitals, stand for what a line has there."""
    page = read(TREE / "man/ivshmem-server.1")
    lines = re.findall(r'^\.It "(.*)"$', page.split(".Sh DIAGNOSTICS")[1], re.MULTILINE)
    assert len(lines) > 4
    code = "".join(read(TREE / name) for name in sources.files(".c") if name.startswith("src/server/"))
    code = re.sub(r'"\s*(?:PRI\w+\s*)?"', "", code)
    for line in lines:
        pieces = [piece.strip(" ()") for piece in re.split(r"\b(?:[A-Z]+|max_clients|65536)\b", line)]
        for piece in pieces:
            assert piece in code, line
