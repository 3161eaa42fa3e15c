"""What gradient methods cost, against what their rows cost at best, and against Captum.

Run: ``python -m tests.benchmarks.gradients [--repeats 3] [--threads 1]`` from the repository's root. Prints; asserts
nothing.

A row is one sample through the model. The best cost of a row, forward or forward and backward, of the whole model or of
what lies behind the last block, is measured in the same run over chunk sizes; rows times that cost is the limit. Captum
runs at its defaults, and best-tuned: parameters frozen, and the best of some ``internal_batch_size``. All alternate.
"""

import argparse
import platform
import time
from itertools import pairwise

import captum
import torch
from captum import attr
from torch import Tensor, nn

from lightning_explain import IntegratedGradients, Layer, Neuron, SmoothGrad, explain
from lightning_explain.attribution.methods import METHODS

SAMPLES, STEPS = 16, 50
CHUNKS = (8, 16, 32, 64, 128)
LAST, UNIT = "11", (3, 2, 2)


class Block(nn.Module):
    def __init__(self, into: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        same = into == out and stride == 1
        short = (nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.short = nn.Identity() if same else nn.Sequential(*short)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.short(x) + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


def residual_net(width: int = 16) -> nn.Sequential:
    """Twenty layers: a stem, nine blocks of two convolutions, a head; statistics as after some training."""
    torch.manual_seed(0)
    sizes = [width] * 4 + [2 * width] * 3 + [4 * width] * 3
    blocks = [Block(a, b, 1 if a == b else 2) for a, b in pairwise(sizes)]
    stem = [nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    model = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10))
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(64, 3, 32, 32))
    return model.eval()


def seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def best_cost(part: nn.Module, x: Tensor, *, backward: bool) -> float:
    """Seconds per row at the chunk size where it is least."""

    def work(chunk: Tensor) -> None:
        with torch.set_grad_enabled(backward):
            out = part(chunk.requires_grad_(backward)).sum()
        if backward:
            torch.autograd.grad(out, chunk)

    part.requires_grad_(False)
    costs = [min(seconds(lambda n=n: work(x[:n].clone())) for _ in range(4)) / n for n in CHUNKS]
    part.requires_grad_(True)
    return min(costs)


class Rows:
    """Rows through the first and through the last layer, without and with a graph."""

    def __init__(self, model: nn.Sequential) -> None:
        self.counts = {"stem": [0, 0], "head": [0, 0]}
        self.handles = [
            model[0].register_forward_hook(lambda _m, args, out: self.add("stem", args[0], out)),
            model[-1].register_forward_hook(lambda _m, args, out: self.add("head", args[0], out)),
        ]

    def add(self, which: str, given: Tensor, out: Tensor) -> None:
        self.counts[which][out.requires_grad] += len(given)

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()


def ours(model: nn.Module, x: Tensor, target: Tensor) -> dict:
    def run(method, place=None):
        return lambda: explain(model, x, method, place, target)

    last = Layer(LAST)
    return {
        "saliency": run("saliency"),
        "input_x_gradient@last": run("input_x_gradient", last),
        "integrated_gradients": run(IntegratedGradients(STEPS)),
        "integrated_gradients tol=5%": run(IntegratedGradients(64, tolerance=0.05)),
        "integrated_gradients@last": run(IntegratedGradients(STEPS), last),
        "integrated_gradients neuron": run(IntegratedGradients(STEPS), Neuron(LAST, UNIT)),
        "conductance@last": run(METHODS["conductance"](STEPS), last),
        "conductance neuron": run(METHODS["conductance"](STEPS), Neuron(LAST, UNIT)),
        "internal_influence@last": run(METHODS["internal_influence"](STEPS), last),
        "gradient_shap": run(METHODS["gradient_shap"](STEPS)),
        "smoothgrad": run(SmoothGrad(n_samples=STEPS)),
        "grad_cam": run(METHODS["grad_cam"](LAST)),
        "hires_cam": run(METHODS["hires_cam"](LAST)),
        "eigen_cam": run(METHODS["eigen_cam"](LAST)),
        "score_cam": run(METHODS["score_cam"](LAST)),
    }


def theirs(model: nn.Sequential, x: Tensor, target: Tensor) -> dict:
    """Name -> a function of ``internal_batch_size`` (None: the default; where there is none it is left out)."""
    last, given = model[int(LAST)], {"target": target}

    def sized(size: int | None) -> dict:
        return {} if size is None else {"internal_batch_size": size}

    tunnel = {"nt_samples": STEPS, "stdevs": 0.5}
    return {
        "saliency": lambda _: attr.Saliency(model).attribute(x, **given),
        "input_x_gradient@last": lambda _: attr.LayerGradientXActivation(model, last).attribute(x, **given),
        "integrated_gradients": lambda n: attr.IntegratedGradients(model).attribute(
            x, n_steps=STEPS, return_convergence_delta=True, **given, **sized(n)
        ),
        "integrated_gradients@last": lambda n: attr.LayerIntegratedGradients(model, last).attribute(
            x, n_steps=STEPS, return_convergence_delta=True, **given, **sized(n)
        ),
        "integrated_gradients neuron": lambda n: attr.NeuronIntegratedGradients(model, last).attribute(
            x, UNIT, n_steps=STEPS, **sized(n)
        ),
        "conductance@last": lambda n: attr.LayerConductance(model, last).attribute(
            x, n_steps=STEPS, return_convergence_delta=True, **given, **sized(n)
        ),
        "conductance neuron": lambda n: attr.NeuronConductance(model, last).attribute(
            x, UNIT, n_steps=STEPS, **given, **sized(n)
        ),
        "internal_influence@last": lambda n: attr.InternalInfluence(model, last).attribute(
            x, n_steps=STEPS, **given, **sized(n)
        ),
        "gradient_shap": lambda _: attr.GradientShap(model).attribute(
            x, torch.zeros_like(x), n_samples=STEPS, return_convergence_delta=True, **given
        ),
        "smoothgrad": lambda n: attr.NoiseTunnel(attr.Saliency(model)).attribute(
            x, **tunnel, **given, **({} if n is None else {"nt_samples_batch_size": max(1, n // SAMPLES)})
        ),
        "grad_cam": lambda _: attr.LayerAttribution.interpolate(
            attr.LayerGradCam(model, last).attribute(x, **given), (32, 32), "bilinear"
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of methods, as they are printed")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = residual_net()
    torch.manual_seed(1)
    x, many = torch.randn(SAMPLES, 3, 32, 32), torch.randn(max(CHUNKS), 3, 32, 32)
    target = model(x).argmax(dim=1)
    with torch.no_grad():
        held = model[: int(LAST) + 1](many)
    tail = model[int(LAST) + 1 :]
    cost = {("whole", g): best_cost(model, many, backward=g) for g in (False, True)} | {
        ("tail", g): best_cost(tail, held, backward=g) for g in (False, True)
    }
    print(
        f"torch {torch.__version__}, captum {captum.__version__}, {platform.machine()}, {arguments.threads} thread(s)"
    )
    print(
        "best ms per row: " + ", ".join(f"{p} {'fwd+bwd' if g else 'fwd'} {1e3 * c:.3f}" for (p, g), c in cost.items())
    )
    mine, other = ours(model, x, target), theirs(model, x, target)
    heads = ("s", "rows fwd/bwd (stem; head)", "/limit", "captum", "ratio", "tuned", "ratio")
    widths = (8, 30, 8, 9, 7, 9, 7)
    print(f"{'method':32}" + "".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)))
    for name, work in mine.items():
        if arguments.only and name not in arguments.only:
            continue
        rows = Rows(model)
        work()
        rows.close()
        report(name, work, other.get(name), rows.counts, cost, arguments.repeats, model)


def report(name, work, captums, counts, cost, repeats, model) -> None:
    # Rows that only the tail sees are those of the head less those of the stem; a graph may begin behind the stem.
    (stem, stem_graph), (head, head_graph) = counts["stem"], counts["head"]
    if "@last" in name or "cam" in name:
        limit = (stem + stem_graph) * cost["whole", False] + head_graph * (cost["tail", True] - cost["tail", False])
        limit += max(0, head + head_graph - stem - stem_graph) * cost["tail", False]
    else:
        limit = head * cost["whole", False] + head_graph * cost["whole", True]
    times = {"ours": [], "default": [], "tuned": []}
    for _ in range(repeats):
        times["ours"].append(seconds(work))
        if captums is not None:
            times["default"].append(seconds(lambda: captums(None)))
            model.requires_grad_(False)
            times["tuned"].extend(seconds(lambda n=n: captums(n)) for n in (None, 64, 256))
            model.requires_grad_(True)
    best = {key: min(values) if values else float("nan") for key, values in times.items()}
    shown = f"{stem}/{stem_graph}; {head}/{head_graph}"
    print(
        f"{name:32}{best['ours']:8.3f}{shown:>30}{best['ours'] / limit:8.2f}{best['default']:9.3f}"
        f"{best['default'] / best['ours']:7.2f}{best['tuned']:9.3f}{best['tuned'] / best['ours']:7.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
