# SPDX-License-Identifier: MIT
"""The manual knows each option that the help shows, with the same default, and no other."""

import re
import subprocess

import pytest
from serve import TREE, server_program

PAGE = TREE / "man/ivshmem-server.1"


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout


def help_rows():
    """The options in the help: long form, letter, what its value is called, default."""
    row = re.compile(r"^ +(?:-(\w), )? *--([\w-]+)(?:=(\S+))? +(.*)$", re.MULTILINE)
    for letter, name, value, text in row.findall(output(server_program(), "--help")):
        default = re.search(r"\(([^()]+)\)$", text)
        yield name, letter, value, default.group(1) if default and value else None


ROWS = list(help_rows()) if server_program().exists() else []


@pytest.fixture(name="page", scope="module")
def fixture_page():
    """The manual as it is read: words with single spaces, no bold and no hyphenation."""
    assert PAGE.exists(), f"there is no {PAGE.relative_to(TREE)} yet"
    text = re.sub(".\b", "", output("mandoc", "-T", "utf8", "-O", "width=1000", PAGE))
    return text.replace("\u2010", "-").replace("\u2212", "-").replace("\u00a0", " ")


def entries(page):
    """The paragraphs that an option begins, by its long form."""
    heads = list(re.finditer(r"^ +(?:-\w, )?--([\w-]+)\b.*$", page, re.MULTILINE))
    ends = [head.start() for head in heads[1:]] + [len(page)]
    # The last one ends where the next section begins.
    texts = [re.split(r"^[A-Z]", page[head.start():end], maxsplit=1, flags=re.MULTILINE)[0]
             for head, end in zip(heads, ends)]
    return {head.group(1): " ".join(text.split()) for head, text in zip(heads, texts)}


def test_help_has_rows():
    assert {"socket", "shm-name", "shm-dir", "size", "vectors", "pidfile"} <= {row[0] for row in ROWS}


@pytest.mark.parametrize(("name", "letter", "value", "default"), ROWS, ids=[row[0] for row in ROWS])
def test_manual_has_the_option_with_its_default(page, name, letter, value, default):
    entry = entries(page).get(name)
    assert entry, f"--{name} begins no paragraph"
    if letter:
        assert re.search(rf"(^|\s)-{letter}\b", entry), f"-{letter} is not named"
    if value:
        assert value.lower() in entry.lower(), f"the value is called {value} in the help"
    if default:
        assert default in entry, f"the default is '{default}' in the help"


def test_manual_has_no_other_option(page):
    assert set(entries(page)) <= {row[0] for row in ROWS}
