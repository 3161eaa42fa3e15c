"""Measuring one line of the table: rows, time, and whether two libraries say the same."""

import time
from functools import partial

import torch

from tests.benchmarks.clock import best_cost, chunk_work, in_turns

WHOLE, TAIL = "whole", "tail"


class Rows:
    """Rows that the first and the last module compute, without and with a graph; hooks also see what is skipped."""

    def __init__(self, network):
        self.counts = {"stem": [0, 0], "head": [0, 0]}
        self.modules = {"stem": network.stem, "head": network.head}
        for which, module in self.modules.items():
            module.forward = self._counted(which, module.forward)

    def _counted(self, which, forward):
        def counted(given):
            out = forward(given)
            self.counts[which][out.requires_grad] += len(given)
            return out

        return counted

    def close(self):
        for module in self.modules.values():
            del module.forward


def count(network, work):
    """The rows of some work: {"stem": (without, with a graph), "head": ...}."""
    rows = Rows(network)
    try:
        work()
    finally:
        rows.close()
    return rows.counts


class Costs:
    """What a row costs at best: of the whole network, and of what lies behind the late layer."""

    def __init__(self, network):
        held = []
        handle = network.layer.register_forward_hook(lambda _, __, out: held.append(out))
        with torch.no_grad():
            network.inside(network.many)
        handle.remove()
        parts = {WHOLE: (network.inside, network.many), TAIL: (network.tail, held[0])}
        self.works, self.chunks = {}, {}
        for part, (run, x) in parts.items():
            for backward in (False, True):
                _, chunk = best_cost(run, x, backward=backward, chunks=network.chunks)
                self.chunks[part, backward] = chunk
                self.works[part, backward] = chunk_work(run, x[:chunk], backward=backward)

    def per_row(self, best):
        """Seconds for a row of each kind, from the best of some turns."""
        return {key: best[key].counted / chunk for key, chunk in self.chunks.items()}


def limit(rows, cost):
    """The seconds that these rows take at best: those in front of the late layer, and those behind it."""
    front = {backward: max(0.0, cost[WHOLE, backward] - cost[TAIL, backward]) for backward in (False, True)}
    return sum(
        rows["stem"][backward] * front[backward] + rows["head"][backward] * cost[TAIL, backward]
        for backward in (False, True)
    )


def frozen(network, work):
    """Some work with parameters that want no gradient, as a user who tunes would have them."""

    def done():
        network.model.requires_grad_(False)
        try:
            work()
        finally:
            network.model.requires_grad_(True)

    return done


def first(result):
    """The tensor of a result that may be a tuple."""
    return (result[0] if isinstance(result, tuple) else result).detach()


def agreement(case, ours, theirs):
    """The largest difference as a share of the largest number; for random draws the correlation."""
    if ours.shape != theirs.shape:
        return f"shapes {tuple(ours.shape)} and {tuple(theirs.shape)}"
    a, b = ours.double().flatten(), theirs.double().flatten()
    if case.drawn:
        return f"r = {float(torch.corrcoef(torch.stack([a, b]))[0, 1]):.2f}"
    return f"{float((a - b).abs().max() / b.abs().max()):.0e}"


def compare(case, mine):
    """Run Captum once: what it says against ours, or the error that it raises."""
    if case.theirs is None:
        return None, "-"
    try:
        theirs = case.theirs(None)
    except Exception as error:  # noqa: BLE001  (whatever it is, the table says so)
        return None, f"raises {type(error).__name__}"
    return case.theirs, agreement(case, mine, first(theirs))


def contestants(network, case, theirs, *, slow):
    """Captum at its default (None), with frozen parameters ("frozen", unless it is slow anyway), and at each size."""
    if theirs is None:
        return {}
    sizes = ({} if slow else {"frozen": None}) | {size: size for size in case.sizes}
    tuned = {name: frozen(network, lambda size=size: theirs(size)) for name, size in sizes.items()}
    return {None: lambda: theirs(None)} | tuned


def fastest(best, names):
    """Which of these, of those that could be done, took the least."""
    return min((name for name in names if name in best), key=lambda name: best[name].counted)


def tuned(at, seconds):
    """What is written down of Captum at its best: seconds, and the size if it is one."""
    return {"tuned": seconds.counted, "at": at if isinstance(at, int) else ""}


def measuring(network, patience):
    """What measures a line of this network's table."""
    return partial(measure, network, costs=Costs(network), patience=patience)


def measure(network, case, costs, patience):
    """One line of the table as numbers and words, which JSON can hold."""
    mine, began = first(case.ours()), time.perf_counter()
    theirs, agrees = compare(case, mine)
    others = contestants(network, case, theirs, slow=time.perf_counter() - began > patience)
    rows = count(network, case.ours)
    # Some of them cannot be done: Captum's DeepLift at a layer, for one, with frozen parameters.
    best, turns = in_turns({"ours": case.ours} | costs.works | others, patience, may_fail=others.keys() - {None})
    record = {
        "method": case.name,
        "note": case.note,
        "rows": rows,
        "wall": best["ours"].wall,
        "processor": best["ours"].processor,
        "seconds": best["ours"].counted,
        "limit": limit(rows, costs.per_row(best)),
        "turns": turns,
        "agrees": agrees,
    }
    if not others:
        return record
    at = fastest(best, others)
    return record | {"captum": best[None].counted} | tuned(at, best[at])
