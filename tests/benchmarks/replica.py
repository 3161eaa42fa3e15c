"""What a row costs a replica of the model, and what explanations cost with it and without.

Run: ``python -m tests.benchmarks.replica [--repeats 5] [--threads 1]`` from the repository's root. Prints; asserts
nothing.

The model with frozen parameters, its replica, and its replica in bfloat16 take turns, in processor time, for the
machine may be busy with other work; the shortest of the turns counts. The cost of a row is that at the chunk size where
it is least. A call of ``explain`` has all that a user pays for: borrowing the model, making the replica and trying it.
"""

import argparse
import platform
import time
import warnings

import torch
from torch import nn

from lightning_explain import FeatureAblation, IntegratedGradients, Occlusion, explain
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.replication import replicated
from lightning_explain.demo.model import DigitClassifier as DemoNet
from tests.benchmarks.networks import ResNet20

SAMPLES = 16
CHUNKS = (16, 32, 64)
REPLICAS = {"model": False, "replica": True, "bfloat16": torch.bfloat16}


def mobile_net():
    """Inverted residuals without shortcuts: 1 x 1, depthwise, 1 x 1."""
    layers, channels = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()], 16
    for wider, stride in ((24, 2), (24, 1), (32, 2), (32, 1)):
        hidden = 6 * channels
        for convolution in (
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
        ):
            layers += [convolution, nn.BatchNorm2d(hidden), nn.ReLU6()]
        layers += [nn.Conv2d(hidden, wider, 1, bias=False), nn.BatchNorm2d(wider)]
        channels = wider
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def volume_net():
    """Convolutions in three dimensions."""
    return nn.Sequential(
        nn.Conv3d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm3d(16),
        nn.ReLU(),
        nn.MaxPool3d(2),
        nn.Conv3d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm3d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def mlp():
    """A BatchNorm behind every layer of three."""
    layers = [module for _ in range(3) for module in (nn.LazyLinear(512), nn.BatchNorm1d(512), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers, nn.LazyLinear(10))


def transformer():
    """Nothing to fold."""
    layer = nn.TransformerEncoderLayer(128, 4, 256, dropout=0.0, batch_first=True)
    return nn.Sequential(nn.Linear(48, 128), nn.TransformerEncoder(layer, 4), nn.Flatten(), nn.LazyLinear(10))


MODELS = {
    "residual CNN, 20 layers, 32 × 32": (ResNet20, (3, 32, 32)),
    "mobile CNN, depthwise, 64 × 64": (mobile_net, (3, 64, 64)),
    "the demo's CNN, 28 × 28": (DemoNet, (1, 28, 28)),
    "CNN in three dimensions": (volume_net, (3, 8, 16, 16)),
    "MLP, 3 × 512": (mlp, (3, 8, 8)),
    "transformer, 4 layers, 64 tokens": (transformer, (64, 48)),
}
METHODS = {
    "integrated_gradients, 50 steps": (IntegratedGradients(50), {}),
    "feature_ablation, 64 features": (FeatureAblation(), {"feature_mask": None}),
    "occlusion, 64 windows": (Occlusion(4, 4), {}),
}


def seconds(work):
    """Processor time."""
    began = time.process_time()
    work()
    return time.process_time() - began


def settled(make, shape):
    """A model with statistics as after some training, and samples."""
    torch.manual_seed(0)
    model = make()
    with torch.no_grad():
        for _ in range(5):
            model.train()(torch.randn(32, *shape))
    return model.eval(), torch.randn(max(CHUNKS), *shape)


def run(forward, model, x, backward):
    """One pass."""
    with torch.set_grad_enabled(backward):
        x = x.clone().requires_grad_(backward)
        out = forward(model, x).sum()
        if backward:
            torch.autograd.grad(out, x)


def row_costs(model, x, repeats):
    """Milliseconds of a row, forward and forward and backward, by the way to run; if it is the model's; making it."""
    costs, dropped, made = {}, {}, {name: [] for name in REPLICAS}
    with borrowed(model):
        problem = pose(model, x[:SAMPLES], None)
        problem.outputs  # noqa: B018  (known by then)
        forwards = {}
        for name, replica in REPLICAS.items():
            asked, reason = replicated(problem, replica)
            forwards[name] = asked.forward
            dropped[name] = "dropped" if reason else "the model itself" if asked is problem else ""
        for _ in range(repeats):
            for name, replica in REPLICAS.items():
                made[name].append(seconds(lambda replica=replica: replicated(problem, replica)))
                for backward in (False, True):
                    for chunk in CHUNKS:
                        part, forward = x[:chunk], forwards[name]
                        work = lambda part=part, forward=forward, b=backward: run(forward, model, part, b)  # noqa: E731
                        costs.setdefault((name, backward), []).append(1e3 * seconds(work) / chunk)
    return {key: min(found) for key, found in costs.items()}, dropped, {name: min(of) for name, of in made.items()}


def rows_table(repeats):
    """What a row costs each model."""
    print(
        "| model | ms forward | replica | bfloat16 | ms forward and backward | replica | bfloat16 | to make and try |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for title, (make, shape) in MODELS.items():
        model, x = settled(make, shape)
        costs, dropped, made = row_costs(model, x, repeats)
        line = [title]
        for backward in (False, True):
            plain = costs["model", backward]
            line.append(f"{plain:.3f}")
            line += [
                dropped[name] or f"{costs[name, backward]:.3f}, {plain / costs[name, backward]:.2f} x"
                for name in ("replica", "bfloat16")
            ]
        print(f"| {' | '.join(line)} | {1e3 * made['replica']:.0f} ms, {1e3 * made['bfloat16']:.0f} ms |", flush=True)


def methods_table(repeats):
    """What explanations of the residual network cost, and how far they are from those of the model."""
    model, x = settled(*MODELS["residual CNN, 20 layers, 32 × 32"])
    x, cell = x[:SAMPLES], torch.arange(32) // 4
    target, mask = model(x).argmax(dim=1), (cell[:, None] * 8 + cell).view(1, 1, 32, 32)
    print("| method | s | replica | off by | bfloat16 | off by |")
    print("| --- | --- | --- | --- | --- | --- |")
    for title, (method, settings) in METHODS.items():
        given = dict.fromkeys(settings, mask)
        times, maps = {name: [] for name in REPLICAS}, {}
        for _ in range(repeats):
            for name, replica in REPLICAS.items():
                began = time.process_time()
                maps[name] = explain(model, x, method, target=target, replica=replica, **given).values
                times[name].append(time.process_time() - began)
        plain = min(times["model"])
        line = [f"`{title}`", f"{plain:.2f}"]
        for name in ("replica", "bfloat16"):
            off = float((maps[name] - maps["model"]).norm() / maps["model"].norm())
            line += [f"{min(times[name]):.2f}, {plain / min(times[name]):.2f} x", f"{off:.1e}"]
        print(f"| {' | '.join(line)} |", flush=True)


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    repeats, threads = vars(parser.parse_args()).values()
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    print(f"{platform.processor() or platform.machine()}, {threads} thread(s), torch {torch.__version__};", end=" ")
    print(f"processor time, {SAMPLES} samples")
    rows_table(repeats)
    methods_table(repeats)


if __name__ == "__main__":
    main()
