"""How much memory a row takes, and how much there is."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_explain.inputs import Point

_MEMINFO = Path("/proc/meminfo")
_TOO_LARGE = "The rows take more than the {:,.0f} bytes that they may."
OPERATORS = 8
"""Operators for each parameter, forward and backward, at most: a guess."""


class TooLargeError(RuntimeError):
    """A chunk was stopped, for it would have taken more memory than it may."""


@dataclass(frozen=True)
class RowSize:
    """What memory a row may take, guessed from above before anything ran.

    Args:
        step: Bytes that a single operator makes of it.
        total: Bytes that all operators together make of it.
        device: Where.
    """

    step: int
    total: int
    device: torch.device

    @classmethod
    def of(cls, model: nn.Module, point: Point) -> RowSize:
        """Guess: at each position an operator makes as many numbers as the widest parameter has in any dimension.

        Decoders, which add positions, make more; so none of this replaces looking while they run.

        Returns:
            The guess for rows like those of ``point``.
        """
        shapes = [parameter.shape for parameter in model.parameters()]
        widest = max((size for shape in shapes for size in shape), default=1)
        step = sum(map(_positions, point)) * widest * torch.get_default_dtype().itemsize
        return cls(step, step * OPERATORS * (len(shapes) + 1), point[0].device)


class _Counting(threading.local):
    # The meters around what runs, in each thread.
    def __init__(self) -> None:
        self.meters: list[Tripwire | Footprint | Allocations] = []


_COUNTING = _Counting()


@contextmanager
def uncounted() -> Iterator[None]:
    """Work of its own in the midst of other work, for all rows perhaps: it says nothing of what those rows take.

    Yields:
        None; no meter around this block counts what is made in it.
    """
    around, _COUNTING.meters = _COUNTING.meters, []
    for meter in around:
        meter.paused = True
    try:
        yield
    finally:
        for meter in around:
            meter.paused = False
        _COUNTING.meters = around


class Tripwire(TorchFunctionMode):
    """Stops a block whose operators make too much; so light that a small pass hardly notices.

    It sees functions of torch from outside, in the forward pass alone: enough to notice that a guess was wrong.

    Args:
        limit: Where the block is stopped by :class:`TooLargeError`, in bytes.
    """

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.bytes, self.limit, self.paused = 0, limit, False

    def __enter__(self) -> Tripwire:
        _COUNTING.meters.append(self)
        return super().__enter__()  # type: ignore[no-any-return, no-untyped-call]

    def __exit__(self, *error: object) -> None:
        _COUNTING.meters.remove(self)
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Run the function and count what it gives.

        Returns:
            What the function gives.

        Raises:
            TooLargeError: If that is more than the limit.
        """
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and not self.paused:
            self.bytes += result.nbytes
            if self.bytes > self.limit:
                raise TooLargeError(_TOO_LARGE.format(self.limit))
        return result


class Footprint(TorchDispatchMode):
    """Adds up the memory of all tensors that operators make in a block, freed or not: a bound on its peak.

    Args:
        limit: Where the block is stopped by :class:`TooLargeError`, in bytes; None: nowhere.

    Attributes:
        bytes: The sum.
        device: Where most of it was, the CPU until something is made.
    """

    def __init__(self, limit: float | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes, self.limit, self.paused = 0, limit, False
        self.device = torch.device("cpu")
        self._largest = 0

    def __enter__(self) -> Footprint:
        _COUNTING.meters.append(self)
        return super().__enter__()  # type: ignore[no-any-return, no-untyped-call]

    def __exit__(self, *error: object) -> None:
        _COUNTING.meters.remove(self)
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch loads its compiler, for two seconds, to keep it away from here

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Run the operator and count what it makes; views of its arguments make nothing.

        Returns:
            What the operator gives.

        Raises:
            TooLargeError: If that is more than the limit.
        """
        if self.paused:
            return func(*args, **(kwargs or {}))
        given = {t.untyped_storage()._cdata for t in args if isinstance(t, Tensor)}  # noqa: SLF001  (identity)
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(made, Tensor) and made.untyped_storage()._cdata not in given:  # noqa: SLF001
                self._count(made)
        if self.limit is not None and self.bytes > self.limit:
            raise TooLargeError(_TOO_LARGE.format(self.limit))
        return result

    def _count(self, tensor: Tensor) -> None:
        size = tensor.untyped_storage().nbytes()
        self.bytes += size
        if size > self._largest:
            self._largest, self.device = size, tensor.device


class Allocations:
    """Adds up the memory that a block takes on a GPU, freed or not, from what its allocator counts anyway.

    No operator is watched, so that none is slower.

    Args:
        device: The GPU.

    Attributes:
        bytes: The sum.
        device: The GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.bytes, self.device = 0, device
        self._paused, self._since = False, 0

    def __enter__(self) -> Allocations:
        _COUNTING.meters.append(self)
        self._since = self._taken()
        return self

    def __exit__(self, *error: object) -> None:
        _COUNTING.meters.remove(self)
        self.paused = True

    @property
    def paused(self) -> bool:
        """Whether what is taken now belongs to other work."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        if paused and not self._paused:
            self.bytes += self._taken() - self._since
        self._paused, self._since = paused, self._taken()

    def _taken(self) -> int:
        # Since the process began. The peak would have to be reset, and is the user's to reset.
        return _counted(self.device, "allocated_bytes", "allocated")


def _counted(device: torch.device, what: str, how: str) -> int:
    # Not torch.cuda.memory_stats: to flatten all its numbers takes longer than a small pass.
    counters = torch.cuda.memory_stats_as_nested_dict(device)
    return int(counters[what]["all"][how]) if counters else 0


def _positions(leaf: Tensor) -> int:
    # The smallest dimension may be that of the channels; a vector may be a picture that has been flattened.
    row = leaf.shape[1:]
    return math.prod(row) // (max(1, min(row)) if len(row) > 1 else 1)


def available(device: torch.device) -> int | None:
    """The memory that can still be taken on a device.

    Returns:
        Bytes; None where nobody says.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + _counted(device, "reserved_bytes", "current") - _counted(device, "allocated_bytes", "current")
    if device.type != "cpu" or not _MEMINFO.exists():
        return None
    with _MEMINFO.open() as lines:
        found = next((line for line in lines if line.startswith("MemAvailable")), None)
    return None if found is None else int(found.split()[1]) * 1024
