"""What scores cost, against what their rows cost at best, and against Quantus at its defaults.

Run: ``python -m tests.benchmarks.metrics`` from the repository's root, with quantus for the comparison. Prints;
asserts nothing. A row is one sample through the model; the limit is rows times the best cost of a row, measured in the
same run on the bare model over chunk sizes.
"""

import argparse
import platform
import sys
import warnings
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.clock import best_cost, best_of, count_rows, spent
from metrics.oracles import oracle

from lightning_explain import ProbeSet
from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.guard import borrowed
from lightning_explain.defaults import default_metrics
from lightning_explain.suite import Suite

SAMPLES, CLASSES, SIDE = 16, 10, 32
METHODS = ("saliency", "integrated_gradients", "grad_cam")
SAME_QUESTIONS = {
    "pixel_flipping": "PixelFlipping",
    "faithfulness_correlation": "FaithfulnessCorrelation",
    "infidelity": "Infidelity",
    "mprt": "MPRT",
}
"""Ours, and Quantus' answer to the same question."""


class Net(nn.Module):
    """Three blocks of convolution, normalisation, rectifier and pooling; 66,890 parameters."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        widths = (3, 32, 64, 64)
        self.body = nn.Sequential(*[
            layer
            for a, b in pairwise(widths)
            for layer in (nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2))
        ])
        self.head = nn.Linear(1024, CLASSES)

    def forward(self, x):
        return self.head(self.body(x).flatten(1))


def probe_set():
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(SAMPLES, 3, SIDE, SIDE, generator=generator)
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[8:20, 8:20] = True
    return ProbeSet.from_tensors(images, label=torch.arange(SAMPLES) % CLASSES, mask=mask)


def ready(model, probe, methods, metrics):
    """A suite that has learnt its chunks, and made the maps that it keeps for a run."""
    suite = Suite(probe, methods, metrics, budget=RowBudget())
    suite.prepare(model)
    for _ in range(2):
        suite.run(model)
    return suite


def report(name, suite, model, limit_of):
    """Print a row of the table: rows, seconds, limit, ratio."""
    rows = count_rows(model, lambda: suite.run(model))
    with borrowed(model):
        limit = limit_of(rows)
    seconds = best_of(5, lambda: suite.run(model))
    each, methods = sum(rows.values()) / SAMPLES, len(suite.explainers)
    print(f"| {name} | {each:.0f} | {each / methods:.1f} | {seconds:.2f} | {limit:.2f} | {seconds / limit:.2f} |")
    return seconds


def quantus_times(model, maps, x, y):
    """Seconds that Quantus takes for each of its metrics, at its defaults, for one method."""
    quantus = oracle("quantus")

    def explain(model, inputs, targets, **_):
        z = torch.as_tensor(inputs, dtype=torch.float32).requires_grad_()
        picked = model(z)[torch.arange(len(z)), torch.as_tensor(targets)]
        return (torch.autograd.grad(picked.sum(), z)[0]).abs().sum(1, keepdim=True).numpy()

    seconds = {}
    for name in SAME_QUESTIONS.values():
        metric = getattr(quantus, name)(display_progressbar=False, disable_warnings=True)
        call = {"device": "cpu", "explain_func": explain, "batch_size": SAMPLES}
        seconds[name] = spent(
            lambda metric=metric, call=call: metric(model=model, x_batch=x, y_batch=y, a_batch=maps, **call)
        ).counted
    return seconds


def values(model, probe, maps, x, y):
    """Print what both must agree on, where both are defined alike."""
    quantus = oracle("quantus")
    suite = Suite(
        probe, ["saliency"], ["relevance_rank", "relevance_mass", "localisation_auc", "sparseness", "complexity"]
    )
    suite.prepare(model)
    ours = suite.run(model).explained[0].scores
    mask = probe.mask[:, None].numpy()
    settings = {"disable_warnings": True, "abs": False, "normalise": False}
    call = {"model": model, "x_batch": x, "y_batch": y, "a_batch": maps, "s_batch": mask, "device": "cpu"}
    share = float(probe.mask[0].float().mean())
    pairs = {
        "relevance_rank": (quantus.RelevanceRankAccuracy(**settings), 1 / share),
        "relevance_mass": (quantus.RelevanceMassAccuracy(**settings), 1 / share),
        "localisation_auc": (quantus.AUC(**settings), 1.0),
        "sparseness": (quantus.Sparseness(**settings), 1.0),
        "complexity": (quantus.Complexity(**settings), 1.0),
    }
    print("\n| score | ours | Quantus | largest difference of a sample |\n|---|---|---|---|")
    for name, (metric, scale) in pairs.items():
        given = {**call, "a_batch": maps.copy()}  # some of them write into the array
        theirs = np.asarray(metric(**given), dtype=float) * scale
        mine = np.asarray(ours[name].per_sample)
        print(f"| `{name}` | {mine.mean():.6f} | {theirs.mean():.6f} | {np.abs(mine - theirs).max():.1e} |")


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="leave Quantus out")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    model, probe = Net().eval(), probe_set()
    images = torch.rand(512, 3, SIDE, SIDE)

    def limit_of(rows):
        forward, _ = best_cost(model, images, backward=False)
        backward, _ = best_cost(model, images, backward=True)
        return rows["forward"] * forward + rows["backward"] * backward

    print(f"{platform.processor() or platform.machine()}, {arguments.threads} thread(s), torch {torch.__version__}")
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {SAMPLES} images 3 x {SIDE} x {SIDE}\n")
    print("| suite | rows an image | an image and method | seconds | limit | ratio |\n|---|---|---|---|---|---|")
    whole = ready(model, probe, METHODS, default_metrics(probe, METHODS))
    report(f"{len(METHODS)} methods, all {len(whole.metrics)} default scores", whole, model, limit_of)
    same = ready(model, probe, ["saliency"], list(SAME_QUESTIONS))
    ours = report(f"saliency, {', '.join(SAME_QUESTIONS)}", same, model, limit_of)
    for metric in SAME_QUESTIONS:
        report(f"saliency, {metric}", ready(model, probe, ["saliency"], [metric]), model, limit_of)
    if arguments.quick or find_spec("quantus") is None:
        return
    x, y = probe.inputs.numpy(), probe.label.numpy()
    maps = whole.run(model).explained[0].attribution.point[0].sum(1, keepdim=True).numpy()
    theirs = quantus_times(model, maps, x, y)
    print("\n| Quantus at its defaults | seconds |\n|---|---|")
    for name, seconds in theirs.items():
        print(f"| {name} | {seconds:.2f} |")
    total = sum(theirs.values())
    print(f"| together | {total:.2f}, {total / ours:.0f} × ours |")
    values(model, probe, maps, x, y)


if __name__ == "__main__":
    main()
