"""Random numbers of our own, and the user's left alone."""

import contextlib
import hashlib
import random
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch


@contextlib.contextmanager
def isolated(seed: int, devices: Iterable[torch.device] = ()) -> Iterator[None]:
    """Run a block from ``seed`` on, and give Python, NumPy and torch their random states back.

    Args:
        seed: Where the random numbers inside begin.
        devices: Devices, besides the CPU, whose generators the block may use.

    Yields:
        None.
    """
    devices = set(devices)
    put_back = taken_down(devices)
    try:
        # torch.manual_seed would reach every accelerator, also those whose state is not saved here.
        for generator in (torch.default_generator, *_device_generators(devices)):
            generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        yield
    finally:
        put_back()


def taken_down(devices: Iterable[torch.device] = ()) -> Callable[[], None]:
    """Take down the random states of Python, NumPy and torch.

    Args:
        devices: Devices, besides the CPU, whose generators count.

    Returns:
        What puts them back.
    """
    python, numpy = random.getstate(), np.random.get_state()
    generators = [torch.default_generator, *_device_generators(set(devices))]
    states = [generator.get_state() for generator in generators]

    def put_back() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)

    return put_back


def _device_generators(devices: set[torch.device]) -> list[torch.Generator]:
    indices = sorted({device.index or 0 for device in devices if device.type == "cuda"})
    found = [torch.cuda.default_generators[index] for index in indices]
    if any(device.type == "mps" for device in devices):
        found.append(torch.mps._get_default_mps_generator())  # noqa: SLF001  (there is no public way to it)
    return found


def stream(purpose: str, seed: int) -> torch.Generator:
    """A generator on the CPU, for one purpose alone.

    Weights and data often come from ``torch.manual_seed(0)``; a generator with that very seed would give the same
    numbers again: the "random" model would be the one that the training began with.

    Returns:
        The generator; the same purpose and seed give the same numbers, everywhere.

    Example:
        >>> stream("noise", 0).initial_seed() == stream("noise", 0).initial_seed()
        True
        >>> len({stream(purpose, seed).initial_seed() for purpose in ("noise", "removals") for seed in (0, 1)})
        4
    """
    digest = hashlib.sha256(f"{purpose} {seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
