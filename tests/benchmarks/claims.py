"""Claims that a table of methods does not show: fewer steps for the same delta, loops that are gone, small calls."""

import torch
from captum import attr
from torch import nn

from lightning_explain import (
    FeatureAblation,
    IntegratedGradients,
    KernelShap,
    Neuron,
    Saliency,
    ShapleySampling,
    explain,
)
from tests.benchmarks.clock import in_turns
from tests.benchmarks.measure import count
from tests.benchmarks.networks import residual, transformer
from tests.benchmarks.table import markdown

TOLERANCES = (0.1, 0.05, 0.02)
STEPS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


def mlp():
    """Three layers, 16 features."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4)).eval()


class Pooled(nn.Module):
    """Almost no work on a large picture: what is left is the method's own."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__()
        self.head = nn.Linear(3 * 16, 10)

    def forward(self, x):
        return self.head(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))


def captum_steps(network, tolerance):
    """The fewest of some numbers of steps with which Captum's delta is within the tolerance, for every sample."""
    kind = attr.IntegratedGradients(network.inside)
    with torch.no_grad():
        picked = [network.inside(z).gather(1, network.target[:, None])[:, 0] for z in (network.z, network.z0)]
    span = (picked[0] - picked[1]).abs()
    for steps in STEPS:
        arguments = {"n_steps": steps, "internal_batch_size": 64, "return_convergence_delta": True}
        _, delta = kind.attribute(network.z, network.z0, target=network.target, **arguments)
        if bool((delta.abs() <= tolerance * span).all()):
            return steps
    return None


def by_tolerance(make, tolerance):
    """Rows, forward and backward, until every sample's delta is within a share of its span."""

    def work():
        network = make()
        kind = IntegratedGradients(256, tolerance=tolerance)
        held = []
        rows = count(
            network,
            lambda: held.append(
                explain(network.inside, network.z, kind, target=network.target, baseline=network.z0)
            ),
        )  # fmt: skip
        reached = float((held[0].delta.abs() / held[0].span.abs()).max())
        return {
            "rows": rows["head"][1],
            "reached": reached,
            "steps": captum_steps(network, tolerance),
            "n": len(network.z),
        }

    return work


def contest(ours, theirs, tuned=None):
    """Seconds of ours, of Captum's, and of Captum's with a better argument."""

    def work():
        works = {"ours": ours, "captum": theirs} | ({} if tuned is None else {"tuned": tuned})
        best, _ = in_turns(works, patience=5.0, most=50)
        return {name: spent.counted for name, spent in best.items()}

    return work


def loops():
    """Where Captum loops over elements, rows or samples, and what a small call costs."""
    small, pooled = mlp(), Pooled().eval()
    generator = torch.Generator().manual_seed(1)
    x, picture = torch.randn(16, 16, generator=generator), torch.randn(1, 3, 224, 224, generator=generator)
    rows = torch.randn(3200, 16, generator=generator)
    cell = torch.arange(224) * 4 // 224
    mask = (cell[:, None] * 4 + cell).expand(1, 3, 224, 224).contiguous()
    every = torch.arange(3 * 32 * 32).view(1, 3, 32, 32)
    saliency, integrated = attr.Saliency(small), attr.IntegratedGradients(small)
    shapley, ablation, kernel = attr.ShapleyValueSampling(pooled), attr.FeatureAblation(pooled), attr.KernelShap(small)
    return {
        "`saliency` of 16 samples, 3-layer MLP": contest(
            lambda: explain(small, x, Saliency(), target=1), lambda: saliency.attribute(x, target=1)
        ),
        "`integrated_gradients`, 32 steps, 16 samples, 3-layer MLP": contest(
            lambda: explain(small, x, IntegratedGradients(32), target=1),
            lambda: integrated.attribute(x, target=1, n_steps=32, return_convergence_delta=True),
        ),
        "`saliency` of 3,200 samples, 3-layer MLP: gradients row by row": contest(
            lambda: explain(small, rows, Saliency(), target=1), lambda: saliency.attribute(rows, target=1)
        ),
        "`kernel_shap`, 200 samples, 16 samples, 3-layer MLP": contest(
            lambda: explain(small, x, KernelShap(200), target=1),
            lambda: kernel.attribute(x, target=1, n_samples=200),
            lambda: kernel.attribute(x, target=1, n_samples=200, perturbations_per_eval=200),
        ),
        "`shapley_sampling`, 2 orders of 16 features, 3 × 224 × 224: feature map by elements": contest(
            lambda: explain(pooled, picture, ShapleySampling(2), target=1, feature_mask=mask),
            lambda: shapley.attribute(picture, target=1, n_samples=2, feature_mask=mask),
            lambda: shapley.attribute(picture, target=1, n_samples=2, feature_mask=mask, perturbations_per_eval=16),
        ),
        "`feature_ablation`, 3,072 features, 3 × 32 × 32: a comparison for each feature": contest(
            lambda: explain(pooled, picture[..., :32, :32], FeatureAblation(), target=1, feature_mask=every),
            lambda: ablation.attribute(picture[..., :32, :32], target=1),
            lambda: ablation.attribute(picture[..., :32, :32], target=1, perturbations_per_eval=512),
        ),
    }


def early():
    """A neuron in front of most of the model."""
    network = residual()
    found = {}
    for blocks, name in ((1, "3"), (4, "6")):
        layer = network.model.get_submodule(name)
        kind, unit = attr.NeuronIntegratedGradients(network.model, layer), (0, 4, 4)
        asked = f"`integrated_gradients` of a neuron, 50 steps, behind {blocks} of the residual network's 9 blocks"
        found[asked] = contest(
            lambda name=name, unit=unit: explain(network.model, network.z, IntegratedGradients(50), Neuron(name, unit)),
            lambda kind=kind, unit=unit: kind.attribute(network.z, unit, n_steps=50),
            lambda kind=kind, unit=unit: kind.attribute(network.z, unit, n_steps=50, internal_batch_size=64),
        )
    return found


def lines():
    """All of them: a name, and what measures it."""
    found = {}
    for name, make in (("residual network", residual), ("transformer", transformer)):
        for tolerance in TOLERANCES:
            found[f"{name}, {tolerance:.0%}"] = by_tolerance(make, tolerance)
    return found | loops() | early()


def text(records):
    """Two tables."""
    steps = [record for record in records if "steps" in record]
    times = [record for record in records if "ours" in record]
    return f"{_steps(steps)}\n{_times(times)}"


def _steps(records):
    rows = []
    for record in records:
        theirs = None if record["steps"] is None else record["steps"] * record["n"]
        share = "-" if theirs is None else f"{record['rows'] / theirs:.2f}"
        shown = f"more than {STEPS[-1] * record['n']:,}" if theirs is None else f"{theirs:,} ({record['steps']} steps)"
        rows.append([record["method"], f"{record['rows']:,}", f"{record['reached']:.1%}", shown, share])
    title = "### Integrated gradients, until every sample's convergence delta is within a share of its span\n\n"
    heads = ("network, share", "rows, `tolerance=`", "largest delta", "Captum's rows", "ours / Captum's")
    return title + markdown(heads, rows)


def _times(records):
    rows = [
        [
            record["method"],
            *(f"{1e3 * record[who]:.2f} ms" if who in record else "-" for who in ("ours", "captum", "tuned")),
            f"{min(record['captum'], record.get('tuned', record['captum'])) / record['ours']:.1f} ×",
        ]
        for record in records
    ]
    heads = ("asked", "ours", "Captum", "Captum, tuned", "ahead of its best")
    return "### Beside the network\n\n" + markdown(heads, rows)
