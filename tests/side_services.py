"""Processes that only pretend to measure, for figures beside latency."""

from __future__ import annotations

from contextlib import contextmanager


class SideWorld:
    """Answers by model name: what ``open`` says, and what a turn gives; records the calls."""

    def __init__(self, turn, **opened):
        self.turn = turn
        self.opened = opened
        self.calls = []
        self.running = set()
        self.failures = {}

    def start(self, row, service):
        return self._process(row.model.stem, service)

    @contextmanager
    def _process(self, name, service):
        self._fail(name, "start")
        self.running.add(name)
        try:
            yield _Process(self, name, service)
        finally:
            self.running.discard(name)

    def _fail(self, name, method):
        if (name, method) in self.failures:
            raise self.failures[name, method]

    def turns_of(self, name):
        return [payload for who, method, payload in self.calls if (who, method) == (name, "turn")]


class _Process:
    def __init__(self, world, name, service):
        self.world, self.name, self.service = world, name, service

    def call(self, method, payload, timeout=None):
        self.world.calls.append((self.name, method, payload))
        self.world._fail(self.name, method)
        if method == "open":
            return self.world.opened[self.name]
        return self.world.turn(self.name, payload)
