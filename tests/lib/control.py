# SPDX-License-Identifier: MIT
"""A connection to a server's control socket that knows nothing but QMP's form."""

import json
import socket
import time

TIMEOUT = 10.0


class CommandError(Exception):
    """An error that the server has answered with."""

    def __init__(self, error):
        super().__init__(error["desc"])
        self.kind = error["class"]
        self.description = error["desc"]


class Control:
    """Control(path).negotiate().ask("query-status"). Events that come meanwhile are kept."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(str(path))
        self.events = []
        self._buffer = b""
        self.greeting = self.receive()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def negotiate(self):
        assert self.ask("qmp_capabilities") == {}
        return self

    def send(self, data):
        """Sends bytes, or anything else as JSON."""
        self.socket.sendall(data if isinstance(data, bytes) else json.dumps(data).encode())

    def receive(self):
        """The next message, whatever it is; None at the end of the connection."""
        deadline = time.monotonic() + TIMEOUT
        while b"\n" not in self._buffer:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            piece = self.socket.recv(65536)
            if not piece:
                assert not self._buffer, self._buffer
                return None
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def answer(self):
        """The next message that is no event."""
        while "event" in (message := self.receive()):
            self.events.append(message)
        return message

    def ask(self, command, **arguments):
        """Does a command and gives what it returns. Underscores stand for hyphens in arguments."""
        message = {"execute": command, "id": command}
        if arguments:
            message["arguments"] = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.send(message)
        answer = self.answer()
        assert answer.pop("id") == command
        if "error" in answer:
            raise CommandError(answer["error"])
        assert list(answer) == ["return"]
        return answer["return"]

    def event(self, name):
        """Waits for an event and gives its data. Those before it are dropped."""
        while True:
            event = self.events.pop(0) if self.events else self.receive()
            assert event is not None and "event" in event, event
            assert set(event) == {"event", "data", "timestamp"}
            assert set(event["timestamp"]) == {"seconds", "microseconds"}
            if event["event"] == name:
                return event["data"]
