"""A run with the monitor is, bit for bit, the run without it; also when an explainer raises."""

import random
from dataclasses import dataclass, field

import lightning as L
import numpy as np
import pytest
import runs
import torch
import torchmetrics
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn

from lightning_explain import (
    AttributionCheckpoint,
    AttributionMonitor,
    AttributionStopping,
    GradCAM,
    IntegratedGradients,
    Layer,
    Occlusion,
    SmoothGrad,
)
from lightning_explain.attribution.methods import Method


@dataclass(frozen=True)
class Vandal(Method):
    """Touches whatever an explainer could leave behind, and raises from its second call on, if asked."""

    name = "vandal"
    raises: bool = True
    calls: list = field(default_factory=list)

    def __call__(self, problem):
        self.calls.append(1)
        model = problem.model
        torch.rand(3), np.random.rand(3), random.random()
        model.train()
        model.requires_grad_(True)
        model(problem.inputs)  # moves the statistics of the batch norm
        for module in model.modules():
            module.register_forward_hook(lambda m, a, out: out * 2)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        model.net.norm.running_mean = torch.full_like(model.net.norm.running_mean, 7)
        torch.set_grad_enabled(False)
        if self.raises and len(self.calls) > 1:
            raise RuntimeError("planted failure")
        torch.set_grad_enabled(True)
        model.eval()
        for module in model.modules():
            module._forward_hooks.clear()
        return problem.gradient()


class Habits(runs.Module):
    """Does in its forward pass what models should not do, and some do."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 8, max_norm=0.5)  # shortens its weights when it is used
        self.generator = torch.Generator().manual_seed(3)
        self.draws = np.random.default_rng(3)
        self.average = torch.zeros(())  # neither a parameter nor a buffer
        self.seen = torchmetrics.MeanMetric()
        self.history = {"shapes": [], "deep": [[]]}

    def forward(self, x):
        ids = (x.flatten(1)[:, :8] * 9).long().clamp(0, 9)
        noise = torch.rand(x.shape, generator=self.generator) + float(self.draws.random())
        self.average.mul_(0.9).add_(x.mean().detach() * 0.1)
        self.seen.update(x.detach().mean())
        self.history["shapes"].append(x.shape)
        self.history["deep"][0].append(1)
        bias = self.embedding(ids).mean(dim=(1, 2))[:, None]
        return self.net(x + 0.01 * noise) + bias + self.average + 0.01 * len(self.history["shapes"])


class Lazy(runs.Module):
    """Gets its parameters with the first batch, at random."""

    def __init__(self):
        super().__init__()
        self.net.head = nn.LazyLinear(runs.CLASSES)


METHODS = ["integrated_gradients", "grad_cam", SmoothGrad(n_samples=3), Occlusion(), ("saliency", Layer("net.conv1"))]

SETTINGS = {
    "plain": {},
    "accumulation, validation in its middle": {"accumulate_grad_batches": 3, "val_check_interval": 2},
    "manual optimization": {"module": runs.Manual},
    "frozen batch norm and layer": {"module": runs.Frozen},
    "bf16-mixed": {"precision": "bf16-mixed"},
    "bf16-true": {"precision": "bf16-true"},
    "64-true": {"precision": "64-true"},
    "detect_anomaly": {"detect_anomaly": True},
    "deterministic": {"deterministic": True},
    "every second epoch": {"check_val_every_n_epoch": 2, "max_epochs": 4},
    "no sanity check": {"num_sanity_val_steps": 0},
    "lazy parameters": {"module": Lazy},
    "state in attributes": {"module": Habits, "num_sanity_val_steps": 0},
}


def traced(tmp_path, *callbacks, **settings):
    trace = runs.Trace()
    run, module = runs.fit(tmp_path, *callbacks, trace, **settings)
    return runs.fingerprint(run, module, trace)


def different(a, b):
    return [key for key in a if not runs.same(a[key], b[key])]


@pytest.mark.filterwarnings(
    "ignore:.*`Trainer\\(logger=False\\)`", "ignore:.*has no logger", "ignore:.*planted failure"
)
class TestInnocence:
    @pytest.fixture(params=SETTINGS)
    def settings(self, request):
        return SETTINGS[request.param]

    def test_run_is_the_same_with_the_monitor(self, tmp_path, settings):
        monitor = AttributionMonitor(runs.probe(), methods=METHODS)
        assert different(traced(tmp_path, **settings), traced(tmp_path, monitor, **settings)) == []
        assert monitor.report is not None
        assert all(score.n > 0 for name, score in monitor.report.scores.items() if "mprt" not in name)

    @pytest.mark.filterwarnings("ignore:.*no replica of it")  # of models that say something else every time
    @pytest.mark.parametrize(
        ("name", "replica"),
        [
            ("plain", True),
            ("bf16-mixed", True),
            ("bf16-true", True),
            ("state in attributes", True),
            ("plain", torch.bfloat16),
            ("lazy parameters", torch.bfloat16),
            ("64-true", torch.float32),
        ],
    )
    def test_run_is_the_same_when_a_replica_is_explained(self, tmp_path, name, replica):
        settings = SETTINGS[name]
        methods = [IntegratedGradients(4), Occlusion(), ("input_x_gradient", Layer("net.conv1"))]
        monitor = AttributionMonitor(runs.probe(), methods=methods, metrics=["srg", "mprt"], replica=replica)
        assert different(traced(tmp_path, **settings), traced(tmp_path, monitor, **settings)) == []
        assert monitor.report is not None

    @pytest.mark.parametrize("raises", [False, True])
    def test_run_is_the_same_when_an_explainer_vandalises_or_raises(self, tmp_path, settings, raises):
        monitor = AttributionMonitor(runs.probe(), methods=[Vandal(raises)], metrics=["srg"], on_error="warn")
        assert different(traced(tmp_path, **settings), traced(tmp_path, monitor, **settings)) == []
        assert (monitor.report is None) == raises

    def test_a_difference_would_be_seen(self, tmp_path):
        class Clumsy(L.Callback):
            def on_validation_epoch_end(self, trainer, pl_module):
                torch.rand(1)

        assert {"weights", "draws", "trace"} <= set(different(traced(tmp_path), traced(tmp_path, Clumsy())))

    @pytest.mark.parametrize("first", [True, False])
    def test_averaged_weights_are_explained_as_saved_and_training_is_the_same(self, tmp_path, first):
        monitor = AttributionMonitor(runs.probe(), methods=[IntegratedGradients(8)], metrics=["completeness_gap"])
        average = WeightAveraging()
        order = (monitor, average) if first else (average, monitor)
        weights = []
        explain = monitor._suite.run

        def spy(module, *args):
            weights.append({k: v.clone() for k, v in module.state_dict().items()})
            return explain(module, *args)

        monitor._suite.run = spy
        with_monitor = traced(tmp_path, *order, enable_checkpointing=True, logger=False)
        assert different(traced(tmp_path, WeightAveraging(), enable_checkpointing=True), with_monitor) == []
        saved = torch.load(next(tmp_path.rglob("*.ckpt")), weights_only=True)["state_dict"]
        assert runs.same(weights[-1], {k.removeprefix("module."): v for k, v in saved.items()})

    def test_compiled_module(self, tmp_path):
        class Compiled(runs.Module):
            def __init__(self):
                super().__init__()
                self.net = torch.compile(self.net, backend="eager")

        monitor = AttributionMonitor(runs.probe(), methods=["saliency", GradCAM("net.conv2")], metrics=["srg"])
        assert different(traced(tmp_path, module=Compiled), traced(tmp_path, monitor, module=Compiled)) == []
        assert monitor.report.scores["attribution/grad_cam@net.conv2/srg"].n > 0

    def test_probe_is_never_changed(self, tmp_path):
        probe = runs.probe()
        before = probe.inputs.clone()
        runs.fit(tmp_path, AttributionMonitor(probe, methods=METHODS))
        assert torch.equal(before, probe.inputs)
        assert "identity" in vars(probe) or probe.identity

    def test_a_gate_leaves_lazy_parameters_to_the_first_batch(self, tmp_path):
        def gated():
            gate = "attribution/saliency/srg >= -2"
            monitor = AttributionMonitor(runs.probe(), methods=["saliency"], metrics=["srg"])
            return monitor, AttributionCheckpoint(tmp_path / "gated", gate=gate), AttributionStopping(gate, name="stop")

        settings = {"module": Lazy, "num_sanity_val_steps": 0, "enable_checkpointing": True, "logger": False}
        callbacks = gated()
        with_gates = traced(tmp_path, *callbacks, **settings)
        assert different(traced(tmp_path, **settings), with_gates) == []
        assert callbacks[1].verdict.open
