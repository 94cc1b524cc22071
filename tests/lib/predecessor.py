# SPDX-License-Identifier: MIT
"""What answers at a control socket's path in a running server's place, for a process that wants to take
over: as far as it is told to, and then it hangs up."""

import array
import contextlib
import json
import os
import re
import socket

GREETING = json.dumps({"QMP": {"version": {}, "capabilities": []}}).encode() + b"\n"
MAGIC, VERSION, PLACE = 0x736e616d6d687669, 1, 1 << 30


def manifest_of(text):
    """A memfd with a manifest: its header, and the text in the first place."""
    data = json.dumps(text).encode()
    fd = os.memfd_create("manifest")
    os.pwrite(fd, array.array("Q", [MAGIC, VERSION, len(data) << 1]).tobytes(), 0)
    os.pwrite(fd, data, PLACE)
    return fd


UNKNOWN = {"error": {"class": "CommandNotFound", "desc": "query-manifest: no such command"}}


def answers(manifest, text=None):
    """All that is said to a successor before the parcel. Without a text, as a server of an earlier
    version, which cannot tell what it serves."""
    told = {"return": text} if text else UNKNOWN
    return GREETING + b"".join(json.dumps(answer).encode() + b"\n"
                               for answer in ({"return": {}}, told, {"return": {"manifest": manifest}}))


def parcel_of(numbers):
    """The one message of a parcel of so few descriptors."""
    return array.array("i", [0, 0, *numbers]).tobytes()


class Predecessor:
    """Listens at the path. While the successor runs, another thread or process must be in serve()."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def serve(self, said, parcel=b"", fds=()):
        """Says that to the next who connects, then gives it the parcel, if any, and hangs up when it has
        had its say. Gives the commands that it has heard."""
        heard = b""
        self.listener.settimeout(10)
        successor, _ = self.listener.accept()
        with successor, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            successor.settimeout(10)
            successor.sendall(said)
            while parcel and (data := successor.recv(4096)):
                heard += data
                if data.endswith(b"R"):  # it is ready
                    socket.send_fds(successor, [parcel], fds)
                elif data.endswith(b"P"):
                    successor.sendall(b"G")
        return re.findall(r'"execute": ?"([^"]*)"', heard.decode())
