"""What perturbation methods cost: against the limit of their rows, and against Captum.

Run: ``python -m tests.benchmarks.perturbation`` from the repository's root. Prints; asserts nothing.

A row is one sample through the model. The limit is a method's rows times the best cost of a row, measured in the same
run over chunk sizes on the bare model. Captum runs at its defaults (one perturbation at a time), and at the best of
some ``perturbations_per_eval``; the libraries take turns, and the shortest of the turns counts. On a machine that
others use too, ``--clock cpu --threads 1`` counts processor time instead.
"""

import argparse
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import captum
import torch
from captum import attr

from lightning_explain import (
    RISE,
    FeatureAblation,
    FeaturePermutation,
    KernelShap,
    Lime,
    Occlusion,
    ShapleySampling,
    ShapleyValues,
    explain,
)
from lightning_explain.attribution.methods import Method
from tests.benchmarks.models import ResNet20

BATCH = 16
CHUNKS = (8, 16, 32, 64, 128, 256)
SAMPLES = 200
WIDE, NARROW = (1, 4, 16), (1, 16, 64, SAMPLES)  # perturbations at a time: of the whole batch, and of one sample


@dataclass(frozen=True)
class Contest:
    """A method here, and the same with Captum, as a function of ``perturbations_per_eval``."""

    method: Method
    mask: torch.Tensor | None = None
    theirs: Callable[[int], object] | None = None
    tuned: tuple[int, ...] = ()


def grid(per_side):
    """A feature mask of squares."""
    cell = torch.arange(32) * per_side // 32
    return (cell[:, None] * per_side + cell).view(1, 1, 32, 32)


def contests(model, x, target):
    """All of them."""
    fine, coarse, few = grid(8), grid(4), grid(4) % 5
    shared = {"target": target}

    def with_mask(kind, mask, **settings):
        chosen = kind(model)
        return lambda n: chosen.attribute(x, **shared, **settings, feature_mask=mask, perturbations_per_eval=n)

    def occlusion(n):
        return attr.Occlusion(model).attribute(x, (3, 4, 4), (3, 4, 4), **shared, perturbations_per_eval=n)

    return [
        Contest(FeatureAblation(), fine, with_mask(attr.FeatureAblation, fine), WIDE),
        Contest(FeaturePermutation(), fine, with_mask(attr.FeaturePermutation, fine), WIDE),
        Contest(Occlusion(4, 4), None, occlusion, WIDE),
        Contest(ShapleySampling(10), coarse, with_mask(attr.ShapleyValueSampling, coarse, n_samples=10), WIDE),
        Contest(ShapleyValues(), few, with_mask(attr.ShapleyValues, few), WIDE),
        Contest(Lime(SAMPLES), coarse, with_mask(attr.Lime, coarse, n_samples=SAMPLES), NARROW),
        Contest(KernelShap(SAMPLES), coarse, with_mask(attr.KernelShap, coarse, n_samples=SAMPLES), NARROW),
        Contest(RISE(SAMPLES)),
    ]


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = CLOCKS["wall"]


def seconds(work):
    """How long it takes."""
    began = clock()
    work()
    return clock() - began


def row_cost(model):
    """Seconds per row at the chunk size where it is least."""
    images = torch.randn(max(CHUNKS), 3, 32, 32)
    with torch.no_grad():
        model(images)
        return min(min(seconds(lambda n=n: model(images[:n])) for _ in range(5)) / n for n in CHUNKS)


def count_rows(model, work):
    """Rows that go through the model while ``work`` runs."""
    rows = []
    handle = model.register_forward_hook(lambda _, args, __: rows.append(len(args[0])))
    try:
        work()
    finally:
        handle.remove()
    return sum(rows)


def measure(model, x, target, contest, repeats):
    """One line of the table."""

    def ours():
        explain(model, x, contest.method, target=target, feature_mask=contest.mask)

    rows = count_rows(model, ours)
    costs, mine, theirs = [], [], {n: [] for n in contest.tuned}
    for _ in range(repeats):
        costs.append(row_cost(model))
        mine.append(seconds(ours))
        for n, times in theirs.items():
            times.append(seconds(lambda n=n: contest.theirs(n)))
    best = {n: min(times) for n, times in theirs.items()}
    line = f"{contest.method.name:20} {rows:6,} {min(mine):8.2f} {min(mine) / (rows * min(costs)):8.2f}"
    if best:
        fastest = min(best, key=best.get)
        line += f" {best[1]:9.2f} {best[1] / min(mine):7.1f} x {best[fastest]:9.2f} ({fastest:3})"
        line += f" {best[fastest] / min(mine):7.1f} x"
    print(line, flush=True)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    threads, repeats, kind = vars(parser.parse_args()).values()
    global clock
    clock = CLOCKS[kind]
    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore")
    model = ResNet20()
    x, target = torch.randn(BATCH, 3, 32, 32), torch.arange(BATCH) % 10
    print(
        f"{platform.processor() or platform.machine()}, {threads} thread(s), {kind} time, torch {torch.__version__},",
        end=" ",
    )
    print(f"Captum {captum.__version__}; residual CNN, 20 layers, 32 x 32, batch {BATCH}")
    print(f"best cost of a row: {row_cost(model) * 1e3:.3f} ms")
    print(f"{'method':20} {'rows':>6} {'seconds':>8} {'/ limit':>8} {'Captum':>9} {'faster':>9}", end=" ")
    print(f"{'Captum, tuned':>15} {'faster':>9}")
    for contest in contests(model, x, target):
        measure(model, x, target, contest, repeats)


if __name__ == "__main__":
    main()
