"""Time, of the processor and on the wall, and the rows that it was spent on: what all benchmarks measure alike."""

import time
from collections import Counter
from dataclasses import dataclass

import torch

CHUNKS = (16, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Seconds:
    """What something took: on the wall, and of the processor. Where the two differ, others were at work."""

    wall: float
    processor: float

    @property
    def counted(self):
        """The one that ratios are made of: the processor's with one thread, where others' work does not count.

        On a GPU it is the wall's.
        """
        alone = torch.get_num_threads() == 1 and not torch.cuda.is_initialized()
        return self.processor if alone else self.wall

    def least(self, other):
        """The best of two, each by itself."""
        return Seconds(min(self.wall, other.wall), min(self.processor, other.processor))


def settle():
    """Wait for what was launched on a GPU."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def spent(work):
    """Do something once, and say what it took."""
    settle()
    wall, processor = time.perf_counter(), time.process_time()
    work()
    settle()
    return Seconds(time.perf_counter() - wall, time.process_time() - processor)


def best_of(repeats, work):
    """The shortest of several runs, in seconds."""
    return min(spent(work).counted for _ in range(repeats))


def in_turns(works, patience=4.0, most=7, may_fail=()):
    """Let several contestants run one after the other, again and again, and keep the best of each.

    Turns end when the next would take longer than what is left of ``patience`` seconds; after one turn at least. Those
    that ``may_fail`` are left out if they do so in the first.
    """
    began, best, turns = time.perf_counter(), {}, 0
    while turns < most:
        start = time.perf_counter()
        for name, work in works.items():
            try:
                seconds = spent(work)
            except Exception:
                if turns or name not in may_fail:
                    raise
                continue
            best[name] = seconds.least(best.get(name, seconds))
        works = {name: works[name] for name in best}
        turns += 1
        if time.perf_counter() - began + (time.perf_counter() - start) > patience:
            break
    return best, turns


def chunk_work(part, x, *, backward):
    """One pass of a part of a model over some rows, with or without the gradient there."""

    def work():
        if backward:
            leaf = x.detach().clone().requires_grad_()
            torch.autograd.grad(part(leaf).sum(), leaf)
        else:
            with torch.no_grad():
                part(x)

    return work


def best_cost(part, x, *, backward, chunks=CHUNKS):
    """Seconds per row at the chunk size where it is least, and that size."""
    # Different rows: pooling the same one over and over is faster than any work could be.
    sizes = [n for n in chunks if n <= len(x)] or [len(x)]
    costs = {n: best_of(5, chunk_work(part, x[:n], backward=backward)) / n for n in sizes}
    chunk = min(costs, key=costs.get)
    return costs[chunk], chunk


def count_rows(model, work):
    """Rows that go through the model while ``work`` runs: without and with a graph."""
    rows = Counter()
    handle = model.register_forward_hook(
        lambda _, args, out: rows.update({"backward" if out.requires_grad else "forward": len(args[0])})
    )
    try:
        work()
    finally:
        handle.remove()
    return rows
