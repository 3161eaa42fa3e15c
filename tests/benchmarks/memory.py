"""Whether memory is that of one chunk, whatever the number of steps, samples or windows.

torch's profiler reports every allocation and release on the CPU; the largest sum on the way is the peak, to the byte,
whatever the operating system or other programs do. The inputs and the model are there before, and do not count.
"""

import torch
from torch.profiler import ProfilerActivity, profile

from lightning_explain import (
    RISE,
    GradientShap,
    IntegratedGradients,
    InternalInfluence,
    KernelShap,
    Layer,
    Lime,
    ShapleySampling,
    SmoothGrad,
    explain,
)
from lightning_explain.attribution.methods import Conductance
from tests.benchmarks.networks import grid, residual
from tests.benchmarks.table import markdown

ROWS = 32
"""Rows at a time. Left to itself the budget also tries larger chunks while the work lasts."""


def peak(work):
    """The most memory that is allocated at once while some work is done, in bytes."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        work()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def asked(width=16):
    """Methods at a multiple of some number, (name, times) -> work."""
    network = residual(batch=4, width=width)
    late, mask = Layer(network.late), grid(32, 4)
    kinds = {
        "integrated_gradients": lambda k: (IntegratedGradients(16 * k), None),
        "gradient_shap": lambda k: (GradientShap(16 * k), None),
        "smoothgrad": lambda k: (SmoothGrad(n_samples=16 * k), None),
        "smoothgrad of integrated_gradients": lambda k: (SmoothGrad(IntegratedGradients(8), n_samples=2 * k), None),
        "conductance@late": lambda k: (Conductance(16 * k), late),
        "internal_influence@late": lambda k: (InternalInfluence(16 * k), late),
        "integrated_gradients@late": lambda k: (IntegratedGradients(32 * k), late),
        "shapley_sampling": lambda k: (ShapleySampling(2 * k), None),
        "lime": lambda k: (Lime(40 * k), None),
        "kernel_shap": lambda k: (KernelShap(40 * k), None),
        "rise": lambda k: (RISE(40 * k), None),
    }

    def work(make, times):
        method, place = make(times)
        features = mask if method.per_feature else None
        explain(
            network.model, network.inputs, method, place, network.target, feature_mask=features, max_rows=ROWS
        )  # fmt: skip

    return {name: lambda times, make=make: work(make, times) for name, make in kinds.items()}


def lines(width=16):
    """All of them: a name, and what measures it."""

    def both(work):
        work(1)  # what is allocated once, and kept
        with torch.no_grad():
            return {"once": peak(lambda: work(1)), "tenfold": peak(lambda: work(10))}

    return {name: lambda work=work: both(work) for name, work in asked(width).items()}


def text(records):
    """The table."""
    rows = [
        [
            f"`{record['method']}`",
            f"{record['once'] / 2**20:.2f} MiB",
            f"{record['tenfold'] / 2**20:.2f} MiB",
            f"{record['tenfold'] / record['once'] - 1:+.1%}",
        ]
        for record in records
    ]
    heads = ("method", "peak", "peak at 10 × the samples or steps", "growth")
    return f"### Memory, {ROWS} rows at a time\n\n" + markdown(heads, rows)
