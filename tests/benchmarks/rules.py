"""What methods with rules for operators cost, against what their rows cost at best, and against Captum.

Run: ``python -m tests.benchmarks.rules`` from the repository's root. Prints; asserts nothing.

A row is one sample through the model. The best cost of a row, forward or forward and backward, is measured in the
same run on the bare model, over chunk sizes; rows times that cost is the limit that no method can go below. The
method, a call of ``explain`` (which also returns outputs and convergence delta) and Captum take turns.
"""

import argparse
import platform
import warnings
from contextlib import nullcontext
from dataclasses import replace
from importlib.metadata import version

import captum.attr as captum
import torch
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule
from torch import nn

from lightning_explain import explain
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.methods import (
    LRP,
    Deconvolution,
    DeepLift,
    DeepLiftShap,
    GuidedBackprop,
    GuidedGradCAM,
)
from lightning_explain.attribution.rules.composites import Composite
from lightning_explain.attribution.rules.relevance import AlphaBeta, Epsilon
from tests.benchmarks.monitor import best_of, count_rows

REPEATS = 5
CHUNKS = (8, 16, 32)


class Block(nn.Module):
    """Two convolutions beside a skip connection."""

    def __init__(self, width, stride=1):
        super().__init__()
        before = width // stride
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.skip = nn.Conv2d(before, width, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x):
        return self.relu2(torch.add(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))), self.skip(x)))


class ResidualCNN(nn.Module):
    """Twenty layers, for pictures of 32 × 32."""

    def __init__(self):
        super().__init__()
        stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        blocks = [
            Block(16),
            Block(16),
            Block(16),
            Block(32, 2),
            Block(32),
            Block(32),
            Block(64, 2),
            Block(64),
            Block(64),
        ]
        self.body = nn.Sequential(*stem, *blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.pool(self.body(x)).flatten(1))


def captum_lrp(model, rule):
    """Captum's LRP with its rules set, as it wants them before every call."""

    def work(x):
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.rule = rule()
            if isinstance(module, (nn.BatchNorm2d, nn.Identity)):
                module.rule = EpsilonRule()
        return captum.LRP(model).attribute(x, target=3)

    return work


def contestants(model):
    """Ours and Captum's, by what the two compute alike."""
    distribution = torch.randn(8, 3, 32, 32)
    layer = model.body[-1].conv2
    yield "guided_backprop", GuidedBackprop(), captum.GuidedBackprop(model).attribute
    yield "deconvolution", Deconvolution(), captum.Deconvolution(model).attribute
    yield "guided_grad_cam", GuidedGradCAM("body.11.conv2"), captum.GuidedGradCam(model, layer).attribute
    yield "deep_lift", DeepLift(), captum.DeepLift(model).attribute
    yield (
        "deep_lift_shap, 8 baselines",
        DeepLiftShap(distribution),
        lambda x, target: captum.DeepLiftShap(model).attribute(x, distribution, target=target),
    )
    for name, composite, rule in (
        ("lrp, epsilon", Composite(), EpsilonRule),
        ("lrp, alpha1_beta0", Composite(AlphaBeta(alpha=1, beta=0), Epsilon()), Alpha1_Beta0_Rule),
    ):
        work = captum_lrp(model, rule)
        yield name, LRP(composite), lambda x, target, work=work: work(x)
    yield "lrp, epsilon_gamma_box", LRP("epsilon_gamma_box"), None


def row_cost(model, images, *, backward):
    """Seconds per row at the chunk size where it is least."""

    def work(x):
        if backward:
            x = x.clone().requires_grad_()
            torch.autograd.grad(model(x).sum(), x)
        else:
            with torch.no_grad():
                model(x)

    return min(best_of(1, lambda n=n: work(images[:n])) / n for n in CHUNKS)


def measure(model, images, samples, method, theirs):
    """Rows by kind, and the best seconds of all that take turns."""
    x = images[:samples]
    with borrowed(model):
        problem = pose(model, x, 3)
        for _ in range(3):  # the budget learns
            rows = count_rows(model, lambda: method(replace(problem)))
    best = dict.fromkeys(("method", "explain", "captum", "forward", "backward"), float("inf"))
    work = {
        "method": lambda: method(replace(problem)),
        "explain": lambda: explain(model, x, method, target=3),
        "captum": lambda: theirs and theirs(x.clone().requires_grad_(), target=3),
    }
    for _ in range(REPEATS):
        for what, once in work.items():
            with borrowed(model) if what == "method" else nullcontext():
                best[what] = min(best[what], best_of(1, once))
        for backward in (False, True):
            what = "backward" if backward else "forward"
            best[what] = min(best[what], row_cost(model, images, backward=backward))
    return rows, best


def main():
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, default=16)
    threads, samples = vars(parser.parse_args()).values()
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    model = ResidualCNN().eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    images = torch.randn(64, 3, 32, 32)
    print(f"{platform.processor() or platform.machine()}, {threads} thread(s), torch {torch.__version__},", end=" ")
    print(f"Captum {version('captum')}; 20-layer residual CNN, {samples} images 3 × 32 × 32")
    print(
        "| method | rows forward | rows backward | method s | limit s | ratio | explain s | Captum s | Captum / ours |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, method, theirs in contestants(model):
        rows, best = measure(model, images, samples, method, theirs)
        limit = rows["forward"] * best["forward"] + rows["backward"] * best["backward"]
        faster = f"{best['captum']:.4f} | {best['captum'] / best['method']:.2f}" if theirs else "- | -"
        print(f"| {name} | {rows['forward']} | {rows['backward']} | {best['method']:.4f} | {limit:.4f} |", end="")
        print(f" {best['method'] / limit:.2f} | {best['explain']:.4f} | {faster} |", flush=True)


if __name__ == "__main__":
    main()
