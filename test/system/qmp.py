# SPDX-License-Identifier: Apache-2.0
"""QEMU's own protocol: devices are plugged and unplugged by it."""

import json
import socket

from guest import GuestError


class Qmp:
    """A connection that has been greeted."""

    def __init__(self, path, limit=60):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(limit)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("r", encoding="utf-8")
        self.events = []
        self._read()
        self.call("qmp_capabilities")

    def _read(self):
        try:
            line = self.lines.readline()
        except TimeoutError as error:
            raise GuestError("QEMU's monitor is silent") from error
        if not line:
            raise GuestError("QEMU's monitor has closed")
        return json.loads(line)

    def call(self, command, **arguments):
        """Runs a command; its result."""
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = self._read()
            if "error" in answer:
                raise GuestError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self.events.append(answer)

    def await_event(self, name, **wanted):
        """Waits for an event that has come, or comes, since the last such wait."""
        while True:
            event = self.events.pop(0) if self.events else self._read()
            data = event.get("data", {})
            if event.get("event") == name and all(data.get(key) == value for key, value in wanted.items()):
                return data

    def close(self):
        self.lines.close()
        self.socket.close()
