"""What a run writes down of how it explained."""

import os
import subprocess
import sys

import pytest
import runs
import torch

from lightning_explain import METRICS, IntegratedGradients
from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.model import call
from lightning_explain.attribution.regions import Grid
from lightning_explain.settings import Settings, _metric
from lightning_explain.suite import Suite

SRG = METRICS["srg"]


def settings(methods=("saliency",), metrics=("srg",), **fields):
    suite = Suite(runs.probe(), list(methods), list(metrics), **fields)
    suite.prepare(runs.Module())
    return Settings.of(suite)


def halved(model, inputs):
    return call(model, inputs) / 2


def test_everything_that_the_numbers_depend_on_is_there():
    found = settings(
        [IntegratedGradients(n_steps=4), "grad_cam@net.conv2"],
        budget=RowBudget(64),
        seed=7,
        forward=halved,
        replica=True,
    )
    assert list(found.methods) == ["integrated_gradients", "grad_cam@net.conv2"]
    assert "n_steps=4" in found.methods["integrated_gradients"]
    assert (found.seed, found.max_rows, found.forward, found.replica) == (7, 64, "test_settings:halved", "True")
    assert Settings.from_dict(found.to_dict()) == found


@pytest.mark.parametrize("cls", METRICS.values(), ids=METRICS)
def test_metrics_that_are_set_alike_are_written_alike(cls):
    one, other = (cls(sync_on_compute=False) for _ in range(2))
    written = _metric(one)
    assert written == _metric(other)
    assert written.startswith(f"{cls.__name__}(")
    assert "scores" not in written


@pytest.mark.parametrize("setting", [{"steps": 2}, {"fill": "mean"}, {"partition": Grid(3)}], ids=str)
def test_metrics_that_are_set_otherwise_are_written_otherwise(setting):
    assert _metric(SRG(**setting)) != _metric(SRG())


def test_settings_are_the_same_in_another_process():
    code = "import runs, test_settings; print(test_settings.settings(metrics=['srg', 'infidelity']).metrics)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == str(settings(metrics=["srg", "infidelity"]).metrics)


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ({}, []),
        (
            {"metrics": [SRG(steps=2, sync_on_compute=False)]},
            [r"had the metric srg as SRG\(.*steps=2.* here it is SRG\("],
        ),
        ({"methods": ["input_x_gradient"]}, ["did not have the method saliency; it had input_x_gradient"]),
        ({"metrics": ["infidelity"]}, ["did not have the metric srg; it had infidelity"]),
        ({"seed": 1}, ["The run's seed was 1, here it is 0"]),
        ({"forward": halved}, ["called the model by test_settings:halved, here it is .*:call"]),
        ({"budget": RowBudget(64)}, []),
        ({"replica": torch.bfloat16}, ["had replica=torch.bfloat16, here it is False"]),
    ],
)
def test_differences_are_told(run, told):
    assert_told(settings().differences(settings(**run)), told)


def test_agreement_depends_on_all_methods():
    both = settings(["saliency", "input_x_gradient"], ["agreement"])
    three = settings(["saliency", "input_x_gradient", "integrated_gradients"], ["agreement"])
    assert_told(both.differences(both), [])
    assert_told(both.differences(three), ["agreement is that of other methods, .*integrated_gradients"])


def assert_told(found, expected):
    found = list(found)
    assert len(found) == len(expected)
    for sentence, pattern in zip(found, expected, strict=True):
        with pytest.raises(ValueError, match=pattern):
            raise ValueError(sentence)


@pytest.mark.parametrize("saved", [None, 3, ["methods"]])
def test_nothing_that_was_saved(saved):
    assert Settings.from_dict(saved) is None


def test_nonsense_that_was_saved_is_left_out():
    found = Settings.from_dict({"methods": [1], "metrics": {"srg": 3}, "seed": "x", "max_rows": 0, "forward": None})
    assert found == Settings({}, {"srg": "3"}, 0, None, "None")
