"""What the monitor costs the run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Seconds spent by the monitor: since they were last logged, and as a share of the run's."""

    def __init__(self) -> None:
        self.last = self.total = 0.0
        self.started = time.perf_counter()

    def start(self) -> None:
        """Begin a run."""
        self.last = self.total = 0.0
        self.started = time.perf_counter()

    @property
    def share(self) -> float:
        """Seconds spent over seconds since the start, in [0, 1]."""
        return self.total / max(time.perf_counter() - self.started, 1e-9)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the seconds of a block.

        Yields:
            None.
        """
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            self.last += spent
            self.total += spent
