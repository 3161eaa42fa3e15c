"""How much memory a question to a problem takes, for tests that it does not grow with the work."""

import gc
import weakref

import torch
from metrics.evaluations import TARGET, Picture, pictures, problem_of
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lightning_explain.attribution.budget import RowBudget


class Live(TorchDispatchMode):
    """Bytes of all tensor storages that are alive, at most."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.known = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor) and leaf.untyped_storage()._cdata not in self.known:
                storage = leaf.untyped_storage()
                self.known.add(storage._cdata)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())
        return out

    def _forget(self, key, size):
        self.known.discard(key)
        self.now -= size


def peak(ask, size=16):
    """The peak of a question to a problem of pictures."""
    gc.collect()
    with problem_of(Picture(), pictures(8, size=size), TARGET.repeat(2), budget=RowBudget(8)) as problem:
        problem.z0, problem.value, problem.baseline_value  # noqa: B018  (they are there anyway)
        with Live() as live:
            ask(problem)
    return live.peak
