"""The surroundings of a demo: two threads, and none of Lightning's remarks on small runs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_LOGGERS = ("lightning.pytorch", "lightning.fabric")
_EXPECTED = (
    # Batches are slices of two tensors: worker processes would only cost time.
    r".*does not have many workers",
    # Lightning 2.6 with torch 2.13, on every data loader.
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated",
)
_THREADS = 2


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Lightning says at every start, and use at most two threads; all put back at the end.

    Other warnings are shown as ever. More threads would not help so small a network, and the order
    of their sums would make the numbers depend on the machine.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels, threads = [logger.level for logger in loggers], torch.get_num_threads()
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        torch.set_num_threads(min(_THREADS, threads))
        with warnings.catch_warnings():
            for message in _EXPECTED:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        torch.set_num_threads(threads)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
