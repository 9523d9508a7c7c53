"""Workers that are this very process, for tests that need neither Spark nor another process."""

from types import SimpleNamespace

from featuremill.workers.protocol import Attempt


class WorkersHere:
    """Tasks run here, one after the other."""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots

    def broadcast(self, value):
        return SimpleNamespace(value=value, destroy=lambda: None)

    def map(self, payloads, function, group):
        return [function(payload, Attempt(task, 0)) for task, payload in enumerate(payloads)]

    def reduce(self, payloads, function, merge, group):
        return merge(self.map(payloads, function, group))
