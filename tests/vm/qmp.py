# SPDX-License-Identifier: MIT
"""Just enough of QEMU's monitor protocol: commands, their answers, and events, each bounded."""

import json
import time


class Qmp:
    """Speaks over a Lines object that is connected to QEMU's monitor. Each answer may take `timeout`
    seconds."""

    def __init__(self, lines, timeout):
        self._lines = lines
        self._timeout = timeout
        self.events = []
        json.loads(lines.read(timeout))  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        """Gives what the command returns; an error is a RuntimeError."""
        self._lines.write(json.dumps({"execute": command, "arguments": arguments}))
        deadline = time.monotonic() + self._timeout
        while True:
            answer = self._read(deadline)
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def event(self, name, timeout=30):
        """Waits for an event of this name, and takes it."""
        deadline = time.monotonic() + timeout
        while not any(event["event"] == name for event in self.events):
            self._read(deadline)
        found = next(event for event in self.events if event["event"] == name)
        self.events.remove(found)
        return found

    def _read(self, deadline):
        message = json.loads(self._lines.read(max(0.0, deadline - time.monotonic())))
        if "event" in message:
            self.events.append(message)
        return message
