import copy
import math
import random
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from lightning_explain import METRICS, GradCAM, Input, IntegratedGradients, Layer, Neuron, ProbeSet, Saliency
from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.engine import explain
from lightning_explain.attribution.feature_space import FeatureSpace
from lightning_explain.defaults import default_metrics
from lightning_explain.metrics import (
    ROAD,
    SRG,
    CompletenessGap,
    DegenerateRate,
    Infidelity,
    MaxSensitivity,
    RelevanceMass,
    RelevanceRank,
)
from lightning_explain.metrics.localisation.region import RegionMetric
from lightning_explain.metrics.randomisation.parameters import randomised
from lightning_explain.suite import Suite

N = 5
LABEL = torch.tensor([0, 1, 2, 1, 0])
FAITHFUL = tuple(name for name, metric in METRICS.items() if metric.yardstick and not issubclass(metric, RegionMetric))
REGIONAL = tuple(name for name, metric in METRICS.items() if metric.yardstick and issubclass(metric, RegionMetric))
METHODS = ("saliency", "integrated_gradients", "grad_cam")
ANY = tuple(name for name in METRICS if name not in {"completeness", "completeness_gap"})
"""Metrics that score every method at the input."""


class Net(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 5, 3, stride=2, padding=1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        x = torch.tanh(self.norm(self.conv(x)))
        return self.head(self.drop(torch.relu(self.conv2(x)).mean(dim=(2, 3))))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.table = Net(), nn.Linear(6, 3)

    def forward(self, row, image):
        return self.net(image) + torch.tanh(self.table(row))


class Series(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv1d(2, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.conv(x)).mean(dim=2))


def made(kind=Net):
    torch.manual_seed(0)
    return kind()


def images(n=N, seed=0):
    return torch.randn(n, 2, 8, 8, generator=torch.Generator().manual_seed(seed))


def probe_of(inputs=None, **fields):
    fields = {"label": LABEL} | fields
    return ProbeSet.from_tensors(images() if inputs is None else inputs, **fields)


def masked(**fields):
    mask = torch.zeros(N, 8, 8, dtype=torch.bool)
    for i in range(N):
        mask[i, : i + 1, 2:6] = True
    return probe_of(mask=mask, **fields)


def suite_of(model, methods=METHODS, metrics=tuple(METRICS), probe=None, **settings):
    suite = Suite(masked() if probe is None else probe, methods, metrics, **settings)
    suite.prepare(model)
    return suite


def values(examination):
    return {name: score.per_sample for name, score in examination.scores("a").items()}


def same(a, b, tolerance=0.0):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=tolerance, rtol=tolerance, equal_nan=True, err_msg=name)


@contextmanager
def counted_rows(model):
    """Rows that go through the model, and the weights that they meet."""
    rows, weights = [], []

    def count(module, _, result):
        rows.append(len(result))
        weights.append(id(module.head.weight) if hasattr(module, "head") else 0)

    handle = model.register_forward_hook(count)
    try:
        yield rows, weights
    finally:
        handle.remove()


# --- names and results


def test_the_names_promised_are_those_that_come():
    model = made()
    suite = suite_of(model, ("saliency", "integrated_gradients", "grad_cam", "input_x_gradient@conv"))
    names = suite.score_names("attribution")
    scores = suite.run(model).scores("attribution")
    assert set(names) == set(scores)
    assert len(set(names)) == len(names)
    assert "attribution/integrated_gradients/completeness_gap" in names
    assert "attribution/saliency/completeness_gap" not in names
    assert "attribution/grad_cam@conv2/relevance_mass" in names
    assert "attribution/input_x_gradient@conv/relevance_mass" not in names
    lines = [f"random@conv/{metric}" for metric in FAITHFUL] + [f"random/{metric}" for metric in (*FAITHFUL, *REGIONAL)]
    assert {n for n in names if "/random" in n and "/random_logit" not in n} == {
        f"attribution/{line}" for line in lines
    }
    assert {entry.name for entry in suite.run(model).explained} == {e.name for e in suite.explainers}


def test_every_score_knows_the_random_line_of_its_place():
    suite = suite_of(
        made(), ("saliency", "grad_cam", "input_x_gradient@conv", ("saliency", Neuron("conv2", (1, 2, 2)))), ANY
    )
    lines = suite.yardsticks("a")
    assert lines["a/saliency/srg"] == "a/random/srg"
    assert lines["a/grad_cam@conv2/srg"] == "a/random/srg"  # upsampled: it lives at the input
    assert lines["a/input_x_gradient@conv/infidelity"] == "a/random@conv/infidelity"
    assert lines["a/saliency@conv2[1,2,2]/srg"] == "a/random@conv2[1,2,2]/srg"
    names = set(suite.score_names("a"))
    yardsticks = {n for n in names if n.startswith("a/random")}
    assert set(lines) == {n for n in names if n.rpartition("/")[2] in {*FAITHFUL, *REGIONAL}} - yardsticks
    assert set(lines.values()) == yardsticks


def test_directions_are_those_of_the_scores():
    for probe in (masked(), masked(region="artefact")):
        model = made()
        suite = suite_of(model, ("saliency", "grad_cam"), ANY, probe)
        scores = suite.run(model).scores("a")
        assert suite.directions("a") == {name: score.higher_is_better for name, score in scores.items()}
    assert suite.directions("a")["a/saliency/relevance_mass"] is False
    assert suite.directions("a")["a/saliency/drift"] is None


def test_names_without_a_yardstick():
    model = made()
    suite = suite_of(model, ["saliency"], ["degenerate_rate", "drift"])
    assert suite.score_names("a") == ("a/saliency/degenerate_rate", "a/saliency/drift")
    assert set(suite.run(model).scores("a")) == set(suite.score_names("a"))


def test_scores_are_those_of_explained_samples():
    """The attributions are those of ``explain``; mass and degeneracy follow from them by hand."""
    model = made()
    suite = suite_of(model, metrics=("relevance_mass", "degenerate_rate"))
    examination = suite.run(model)
    mask = suite.probe.mask.flatten(1)
    for entry in examination.explained:
        alone = explain(model, suite.probe.inputs, entry.name, target=LABEL)
        torch.testing.assert_close(entry.attribution.values, alone.values)
        maps = alone.values.sum(dim=1).flatten(1)
        torch.testing.assert_close(entry.maps, maps)
        positive = maps.clamp(min=0).double()
        expected = (positive * mask).sum(dim=1) / positive.sum(dim=1) / mask.double().mean(dim=1)
        torch.testing.assert_close(
            torch.tensor(entry.scores["relevance_mass"].per_sample).double(), expected, atol=1e-5, rtol=1e-5
        )
        assert entry.scores["degenerate_rate"].mean == 0
    assert set(examination.maps) == {e.name for e in suite.explainers}
    same(
        {k: v.numpy() for k, v in suite.explain(model).items()},
        {k: v.numpy() for k, v in examination.maps.items()},
        1e-6,
    )


def test_random_attributions_are_scored_as_yardstick():
    model = made()
    probe = probe_of(images(60), label=torch.arange(60) % 3)
    suite = suite_of(model, ["saliency"], FAITHFUL, probe)
    scores = suite.run(model).scores("a")
    chance = scores["a/random/srg"]
    assert abs(chance.mean) < 3 * chance.standard_error
    assert scores["a/random/infidelity"].mean > 0.7
    assert scores["a/random/srg"].mean < scores["a/saliency/srg"].mean or chance.n == 60
    gain = np.subtract(scores["a/random/insertion_auc"].per_sample, scores["a/random/deletion_auc"].per_sample)
    np.testing.assert_allclose(gain, chance.per_sample, atol=1e-6)


def test_directions_are_passed_on():
    model = made()
    scores = suite_of(model).run(model).scores("a")
    assert scores["a/saliency/srg"].higher_is_better is True
    assert scores["a/saliency/infidelity"].higher_is_better is False
    assert scores["a/saliency/drift"].higher_is_better is None
    assert scores["a/saliency/relevance_mass"].higher_is_better is True
    artefact = suite_of(model, probe=masked(region="artefact")).run(model).scores("a")
    assert artefact["a/saliency/relevance_mass"].higher_is_better is False
    assert artefact["a/grad_cam@conv2/relevance_rank"].higher_is_better is False


# --- masks


def region_by_hand(maps, inside):
    positive = maps.clamp(min=0).double()
    return ((positive * inside).sum(dim=1) / positive.sum(dim=1) / inside.double().mean(dim=1)).tolist()


@pytest.mark.parametrize("packed", ["tuple", "dict"])
def test_the_mask_belongs_to_the_first_floating_point_input(packed):
    row, image = torch.randn(N, 6), images()
    inputs = (row, image) if packed == "tuple" else {"row": row, "image": image}
    mask = torch.zeros(N, 6, dtype=torch.bool)
    mask[:, 1:3] = True
    model = made(Pair)
    suite = suite_of(model, ["saliency"], ["relevance_mass"], probe_of(inputs, mask=mask))
    entry = suite.run(model).explained[0]
    assert entry.maps.shape == (N, 6 + 64)
    inside = torch.cat([mask, torch.zeros(N, 64, dtype=torch.bool)], dim=1)
    assert entry.scores["relevance_mass"].per_sample == pytest.approx(region_by_hand(entry.maps, inside), rel=1e-5)


def test_masks_of_tables_and_series():
    for model, x, mask in (
        (nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3)), torch.randn(N, 7), torch.arange(7) < 2),
        (made(Series), torch.randn(N, 2, 9), torch.arange(9) > 5),
    ):
        suite = suite_of(model, ["saliency"], ["relevance_mass", "relevance_rank"], probe_of(x, mask=mask))
        entry = suite.run(model).explained[0]
        inside = mask.expand(N, -1)
        assert entry.maps.shape == inside.shape
        assert entry.scores["relevance_mass"].per_sample == pytest.approx(region_by_hand(entry.maps, inside), rel=1e-5)
        top = [set(m.argsort(descending=True)[: int(mask.sum())].tolist()) for m in entry.maps]
        hits = [
            len(t & set(mask.nonzero().flatten().tolist())) / int(mask.sum()) / float(mask.double().mean()) for t in top
        ]
        assert entry.scores["relevance_rank"].per_sample == pytest.approx(hits)


# --- places


def test_metrics_at_a_layer_see_that_layer():
    model = made()
    suite = suite_of(
        model, [(IntegratedGradients(8), Layer("head", of="input"))], ["infidelity", "completeness_gap", "srg"]
    )
    entry = suite.run(model).explained[0]
    assert entry.name == "integrated_gradients@head:input"
    assert entry.maps.shape == (N, 5)
    # What follows is linear: exact there, and five features go one by one.
    assert entry.scores["infidelity"].mean < 1e-9
    assert entry.scores["completeness_gap"].mean < 1e-4


def test_coarse_maps_come_to_the_input():
    model = made()
    suite = suite_of(model, ["grad_cam", "saliency"], ["relevance_mass", "srg"])
    cam, _ = suite.run(model).explained
    assert cam.name == "grad_cam@conv2"
    assert cam.maps.shape == (N, 64)
    assert cam.attribution.place == Input()
    assert {n for n in suite.score_names("a") if "random" in n} == {"a/random/srg", "a/random/relevance_mass"}


def test_coarse_maps_beside_a_table_come_to_the_picture():
    model = made(Pair)
    inputs = {"row": torch.randn(N, 6), "image": images()}
    suite = suite_of(model, ["grad_cam@net.conv2", "saliency"], ["infidelity", "srg", "mprt"], probe_of(inputs))
    examination = suite.run(model)
    for entry in examination.explained:
        assert entry.maps.shape == (N, 6 + 64)
        assert entry.scores["infidelity"].n == N
    assert float(examination.explained[0].maps[:, :6].abs().max()) == 0


def test_neurons():
    model = made()
    suite = suite_of(
        model, [("saliency", Neuron("conv2", (1, 2, 2))), "saliency"], ["infidelity", "srg", "relevance_mass", "mprt"]
    )
    examination = suite.run(model)
    assert set(suite.score_names("a")) == set(examination.scores("a"))
    neuron, plain = examination.explained
    assert neuron.name == "saliency@conv2[1,2,2]"
    assert not torch.allclose(neuron.maps, plain.maps)
    alone = explain(model, suite.probe.inputs, "saliency", Neuron("conv2", (1, 2, 2)), target=LABEL)
    torch.testing.assert_close(neuron.attribution.values, alone.values)
    assert "a/random@conv2[1,2,2]/srg" in examination.scores("a")


def test_places_that_would_share_a_name_are_refused():
    with pytest.raises(ValueError, match="would be logged under the same name, 'random'"):
        suite_of(made(), ["saliency", ("input_x_gradient", Input(channel_dim=None))], ["srg"])
    with pytest.raises(ValueError, match="Every method can be at a place once, got saliency@conv, saliency@conv"):
        suite_of(made(), ["saliency@conv", ("saliency", Layer("conv", channel_dim=-1))], ["srg"])
    alone = suite_of(made(), [("saliency", Input(channel_dim=None))], ["srg"])
    assert alone.run(made()).explained[0].maps.shape == (N, 128)


# --- drift and random parameters


def test_drift_is_measured_against_the_maps_before():
    first, second = Net(seed=1), Net(seed=2)
    suite = suite_of(first, metrics=["drift"])
    before = suite.run(first)
    assert all(score.undefined == N for score in before.scores("a").values())
    assert all(
        score.mean == pytest.approx(0, abs=1e-9)
        for score in suite.run(first, previous=before.maps).scores("a").values()
    )
    changed = suite.run(second, previous=before.maps).scores("a")
    assert changed["a/saliency/drift"].mean > 0.1
    assert changed["a/saliency/drift"].n == N
    partly = suite.run(second, previous={"saliency": before.maps["saliency"]}).scores("a")
    assert partly["a/saliency/drift"] == changed["a/saliency/drift"]
    assert partly["a/integrated_gradients/drift"].undefined == N


def test_random_maps_are_made_once():
    model = made()
    suite = suite_of(model, ["saliency", "grad_cam"], ["mprt"])
    true = id(model.head.weight)
    with counted_rows(model) as (rows, weights):
        first = suite.run(model)
        random_rows = sum(r for r, w in zip(rows, weights, strict=True) if w != true)
        assert random_rows == N * (2 + 2)  # outputs and gradient
        rows.clear()
        weights.clear()
        second = suite.run(model)
        assert set(weights) == {true}
    same(values(first), values(second))


def test_random_maps_follow_the_target():
    model = made()
    probe = ProbeSet.from_tensors(images(), target="predicted")
    suite = suite_of(model, ["saliency"], ["mprt"], probe)
    suite.run(model)
    predicted = model.eval()(images()).argmax(1)
    with torch.no_grad():
        model.head.bias += 10 * nn.functional.one_hot((predicted[0] + 1) % 3, 3)  # now it predicts another class
    fresh = suite_of(model, ["saliency"], ["mprt"], probe)
    same(values(suite.run(model)), values(fresh.run(model)))


def test_random_maps_belong_to_the_model_that_was_prepared():
    suite = suite_of(made(), ["saliency"], ["mprt"])
    suite.run(made())
    wide = nn.Sequential(nn.Conv2d(2, 7, 3), nn.Tanh(), nn.Flatten(), nn.Linear(252, 3))
    suite.prepare(wide)
    same(values(suite.run(wide)), values(suite_of(wide, ["saliency"], ["mprt"]).run(wide)))


def test_similarity_is_that_with_the_model_randomised_by_hand():
    model = made()
    suite = suite_of(model, ["input_x_gradient"], ["mprt"], seed=3)
    twin = copy.deepcopy(model)
    with randomised(model, 3), torch.no_grad():
        for ours, theirs in zip(twin.parameters(), model.parameters(), strict=True):
            ours.copy_(theirs)
        twin.norm.running_mean.zero_()
        twin.norm.running_var.fill_(1)
    now, other = (
        explain(m, images(), "input_x_gradient", target=LABEL).values.sum(1).flatten(1).abs() for m in (model, twin)
    )
    expected = [spearmanr(a.numpy(), b.numpy()).statistic for a, b in zip(now, other, strict=True)]
    assert suite.run(model).scores("a")["a/input_x_gradient/mprt"].per_sample == pytest.approx(expected, abs=1e-5)


# --- cost

STEPS, REMOVALS, POINTS = 4, 64, 15  # integrated gradients; random removals; inner points of a curve
METHOD = {"saliency": 1, "integrated_gradients": STEPS, "grad_cam": 1}
"""Rows of the method alone."""
EXPLAIN = {"saliency": 0, "integrated_gradients": 1, "grad_cam": 0}
"""Rows around it: for a complete method the score at the baseline."""
COPIES, CELLS, PATCHES, SEGMENTS, SHIFTS, LAYERS = 3, 36, 4, 64, 4, 4
CURVES = dict.fromkeys(("deletion_auc", "insertion_auc", "monotonicity", "pixel_flipping"), POINTS) | {
    "srg": 2 * POINTS,
    "comprehensiveness": 5,
    "sufficiency": 5,
    "region_perturbation": PATCHES - 1,
    "selectivity": PATCHES - 1,
    "irof": SEGMENTS - 1,
    "road": 7,
    "average_drop": 1,
    "increase_in_confidence": 1,
}
"""Rows of a metric for each method, and for random attributions."""
ENDS = CURVES.keys() - {"comprehensiveness", "sufficiency", "road", "average_drop", "increase_in_confidence"}
"""Those that ask once for each place what a curve shows at the baseline."""
SHARED = {
    "infidelity": REMOVALS,
    "faithfulness_correlation": REMOVALS,
    "sensitivity_n": 100,
    "faithfulness_estimate": CELLS,
    "non_sensitivity": CELLS,
    "monotonicity_correlation": 8 * CELLS,
}
"""Rows of a metric for all methods at a place, and the yardstick."""
EXPLAINS = dict.fromkeys(("input_invariance", "random_logit"), 1) | {
    "max_sensitivity": COPIES,
    "average_sensitivity": COPIES,
    "local_lipschitz": COPIES,
    "relative_input_stability": COPIES,
    "relative_output_stability": COPIES,
    "relative_representation_stability": COPIES,
    "continuity": SHIFTS,
    "mprt_top_down": LAYERS,
    "mprt_bottom_up": LAYERS,
    "mprt_independent": LAYERS,
    "smooth_mprt": 8 * (LAYERS + 1),
}
"""How often a metric explains something else, for each method."""
PLACES = dict.fromkeys(("mprt_top_down", "mprt_bottom_up", "mprt_independent", "smooth_mprt"), 1 / N) | {
    "relative_input_stability": COPIES,
    "relative_output_stability": COPIES,
    "relative_representation_stability": 2 * COPIES + 1 + 1 / N,
}
"""Rows of a metric for each place at which methods work: noisy outputs, one row to see the order of the layers."""
ONCE = {"mprt", "efficient_mprt"}
"""Those that explain the model with random parameters, once in a run."""


def rows_of(model, methods, metrics, runs=1):
    """Rows for each sample of the last of some runs."""
    specs = [IntegratedGradients(STEPS) if m == "integrated_gradients" else m for m in methods]
    suite = suite_of(model, specs, metrics)
    for _ in range(runs):
        with counted_rows(model) as (rows, _):
            suite.run(model)
    return sum(rows) / N


def explaining(methods):
    return 1 + sum(METHOD[m] + EXPLAIN[m] for m in methods)  # the outputs, for all


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("methods", [("integrated_gradients",), ("saliency", "integrated_gradients", "grad_cam")])
def test_a_metric_costs_the_rows_that_the_documentation_says(metric, methods):
    """For each sample: method by method, random attributions, and what they share only once."""
    expected = explaining(methods) + SHARED.get(metric, 0) + (metric in ENDS)
    expected += CURVES.get(metric, 0) * (len(methods) + 1)
    expected += EXPLAINS.get(metric, 0) * sum(METHOD[m] for m in methods)
    expected += PLACES.get(metric, 0) * len({m == "grad_cam" for m in methods})
    # Of five samples one has no second picture of its class, for a mosaic.
    expected += 0.8 * sum(METHOD[m] + EXPLAIN[m] + 1 for m in methods) if metric == "focus" else 0
    assert rows_of(made(), methods, [metric], runs=2) == pytest.approx(expected)
    once = sum(METHOD[m] + EXPLAIN[m] + 1 for m in methods) if metric in ONCE else 0
    assert rows_of(made(), methods, [metric]) == pytest.approx(expected + once)


def test_curves_and_removals_are_shared_between_metrics():
    one = rows_of(made(), ["saliency"], ["srg"])
    curves = ["srg", "deletion_auc", "insertion_auc", "pixel_flipping", "monotonicity"]
    assert rows_of(made(), ["saliency"], curves) == one
    sets = rows_of(made(), ["saliency", "integrated_gradients"], ["infidelity", "faithfulness_correlation"])
    assert sets == explaining(["saliency", "integrated_gradients"]) + REMOVALS
    alone = rows_of(made(), ["saliency"], ["faithfulness_estimate", "non_sensitivity"])
    assert alone == explaining(["saliency"]) + CELLS
    noisy = ["max_sensitivity", "average_sensitivity", "local_lipschitz", "relative_input_stability"]
    assert rows_of(made(), ["saliency"], noisy) == explaining(["saliency"]) + COPIES * (1 + 1)


def test_a_method_and_a_metric_that_remove_the_same_share_the_rows():
    model = made()
    cells = FeatureSpace(((2, 8, 8),)).cells(6).view(1, 1, 8, 8)
    suite = suite_of(model, ["feature_ablation"], ["faithfulness_estimate"], masked(feature_mask=cells))
    with counted_rows(model) as (rows, _):
        found = suite.run(model)
    assert sum(rows) / N == 1 + CELLS
    assert found.scores("a")["a/feature_ablation/faithfulness_estimate"].mean == pytest.approx(1)


def test_the_default_suite_costs_what_the_documentation_says():
    model = made()
    suite = suite_of(model, metrics=default_metrics(masked(), METHODS))
    for expected in (323 + 38, 323, 323):  # the random model is explained once
        with counted_rows(model) as (rows, _):
            suite.run(model)
        assert sum(rows) == expected * N


@pytest.mark.parametrize(
    ("metric", "shared"), [("infidelity", 64 + 2 / N + (4 * 3 + 2) / N + 1), ("srg", 2 * 2 * POINTS + 2 / N + 1)]
)
def test_a_layer_is_looked_up_for_its_removals(metric, shared):
    """Two rows tell what it holds at the baseline; three, four times, two, and then all try the tail alone.

    That pays for 64 removals, and not for some points of a curve, for the layer is the first.
    """
    model = made()
    assert rows_of(model, ["saliency@conv"], [metric]) == explaining(["saliency"]) + shared


# --- trouble


def test_scores_of_a_replica_are_those_of_the_model():
    model, methods = Net().eval(), ["integrated_gradients", "occlusion", "grad_cam@conv", "deep_lift"]
    plain = suite_of(model, methods, ["srg"]).run(model)
    for replica, tolerance in ((True, 2e-3), (torch.bfloat16, 0.2)):
        suite = suite_of(model, methods, ["srg"], replica=replica)
        cheap = suite.run(model)
        for a, b in zip(cheap.explained, plain.explained, strict=True):
            assert float((a.maps - b.maps).norm() / b.maps.norm()) < tolerance
            assert a.scores["srg"].mean == pytest.approx(b.scores["srg"].mean, abs=tolerance)
        for name, maps in suite.explain(model).items():
            assert torch.equal(maps, cheap.maps[name])


def test_models_with_random_parameters_have_no_replica():
    maps = []
    for replica in (False, True):
        suite = suite_of(Net().eval(), ["integrated_gradients"], ["mprt"], replica=replica)
        suite.run(Net().eval())
        maps.append(suite._random_maps["integrated_gradients"][1])
    assert torch.equal(*maps)


def test_a_replica_that_is_dropped_is_spoken_of_once():
    class Moving(Net):
        def forward(self, x):
            return super().forward(x) + float("forward" in vars(self.norm))

    model = Moving().eval()
    suite = suite_of(model, ["saliency"], ["srg"], replica=True)
    with pytest.warns(UserWarning, match="no replica of it: its outputs are off"):
        suite.run(model)
    suite.run(model)  # a warning would be an error


def test_what_is_no_replica_is_refused():
    with pytest.raises(TypeError, match="replica is True, False or a type"):
        suite_of(Net(), replica="yes")


class Broken(Net):
    """Trained to pieces: every output is NaN."""

    def forward(self, x):
        return super().forward(x) * torch.nan


def test_a_model_that_gives_nan_is_reported_and_does_not_crash():
    model = Broken()
    scores = suite_of(model).run(model).scores("a")
    untouched = {f"a/random/{metric}" for metric in REGIONAL}  # random maps and a mask: no model takes part
    for name, score in scores.items():
        if name.endswith("degenerate_rate"):
            assert (score.mean, score.n) == (1, N), name
        elif name not in untouched:
            assert math.isnan(score.mean), name
            assert (score.n, score.undefined) == (0, N), name
            assert all(math.isnan(v) for v in score.per_sample), name
    assert set(scores) == set(suite_of(model).score_names("a"))


def test_a_model_whose_weights_have_become_nan():
    model = made()
    suite = suite_of(model)
    before = suite.run(model).maps
    with torch.no_grad():
        model.conv.weight.fill_(torch.nan)
    scores = suite.run(model, previous=before).scores("a")
    assert scores["a/saliency/degenerate_rate"].mean == 1
    seen = {name: s.mean for name, s in scores.items() if name.rpartition("/")[2] not in {"degenerate_rate", *REGIONAL}}
    assert all(map(math.isnan, seen.values())), seen


def test_dead_maps_are_counted_and_left_out():
    model = made()
    with torch.no_grad():
        model.conv2.bias.fill_(-100)  # every ReLU is dead
    scores = suite_of(model).run(model).scores("a")
    assert scores["a/saliency/degenerate_rate"].mean == 1
    for metric in ("srg", "max_sensitivity", "relevance_mass", "completeness_gap", "infidelity"):
        method = "integrated_gradients"
        assert scores[f"a/{method}/{metric}"].undefined == N


@pytest.mark.parametrize(
    ("methods", "metrics", "error", "message"),
    [
        (["saliency"], ["infidelty"], ValueError, r"No metric 'infidelty'\. Did you mean 'infidelity'\? Known: .*srg"),
        (
            ["salience"],
            ["srg"],
            ValueError,
            r"No attribution method 'salience'\. Did you mean 'saliency'\? Known: .*vargrad",
        ),
        (["saliency"], ["srg", "srg"], ValueError, r"Every metric can be there once, got \['srg', 'srg'\]"),
        (["saliency"], ["infidelity", Infidelity(normalize=False)], ValueError, "Every metric can be there once"),
        ([], ["srg"], ValueError, "Give at least one method"),
        (["saliency"], [], ValueError, "Give at least one metric"),
        (["saliency"], [Infidelity], TypeError, "A metric is a name or an AttributionMetric such as"),
        ([3], ["srg"], TypeError, "A method is a name or a Method such as"),
        (["saliency"], ["relevance_mass"], ValueError, "'relevance_mass' needs a mask; pass mask= to the probe set"),
        (["saliency"], [RelevanceRank()], ValueError, "'relevance_rank' needs a mask; pass mask= to the probe set"),
    ],
)
def test_wrong_settings_are_explained_at_once(methods, metrics, error, message):
    with pytest.raises(error, match=message):
        Suite(probe_of(), methods, metrics)


def test_a_region_metric_must_have_the_direction_of_the_mask():
    with pytest.raises(ValueError, match="marks an 'artefact', but the metric 'relevance_mass' has artefact=False"):
        Suite(masked(region="artefact"), ["saliency"], [RelevanceMass()])
    with pytest.raises(ValueError, match="marks an 'object', but the metric 'relevance_rank' has artefact=True"):
        Suite(masked(), ["saliency"], [RelevanceRank(artefact=True)])
    Suite(masked(region="artefact"), ["saliency"], [RelevanceMass(artefact=True, enrichment=False)])


@pytest.mark.parametrize(
    ("methods", "metric", "message"),
    [
        (["saliency"], "completeness_gap", "applies to no method: saliency is not complete"),
        (["saliency@conv"], "relevance_mass", "applies to no method: saliency@conv lives at a layer"),
    ],
)
def test_a_metric_that_fits_no_method_is_refused(methods, metric, message):
    with pytest.raises(ValueError, match=message):
        suite_of(made(), methods, [metric])


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("random_logit", "random_logit needs a model of 2 and more classes, this one has 1"),
        ("road", r"this model has one; take ROAD\(readout='probability'\)"),
    ],
)
def test_a_model_of_one_output_is_refused_before_the_training(metric, message):
    """Not by an error at the first validation, nor by NaN at all of them."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(128, 1))
    with pytest.raises(ValueError, match=message):
        suite_of(model, ["saliency"], [metric], probe_of(target=0))
    own = suite_of(model, ["saliency"], [ROAD(readout="probability")], probe_of(target=0))
    assert own.run(model).scores("a")["a/saliency/road"].n == N


def test_the_seed_reaches_random_fills():
    model = made()
    metrics = [SRG(fill="uniform"), ROAD(readout="probability"), "monotonicity_correlation"]
    one, again, other = (suite_of(model, ["saliency"], metrics, seed=seed).run(model).scores("a") for seed in (0, 0, 1))
    for name in ("a/saliency/srg", "a/saliency/road", "a/saliency/monotonicity_correlation"):
        assert one[name].per_sample == again[name].per_sample
        assert one[name].per_sample != other[name].per_sample


def test_integer_inputs_alone_cannot_be_noisy():
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3))
    probe = probe_of(torch.randint(0, 9, (N, 5)), baseline=0)
    with pytest.raises(ValueError, match=r"'max_sensitivity' applies to no method: .* no noise can be added"):
        suite_of(model, [("saliency", Layer("0", channel_dim=-1))], ["max_sensitivity"], probe)
    examination = suite_of(
        model, [("input_x_gradient", Layer("0", channel_dim=-1)), "occlusion"], ["srg", "infidelity"], probe
    ).run(model)
    assert [entry.maps.shape for entry in examination.explained] == [(N, 5), (N, 5)]


def test_what_does_not_fit_the_model_is_said_before_training():
    with pytest.raises(
        ValueError, match=r"No layer 'conv3'\. Did you mean 'conv'\? Known: conv, norm, conv2, drop, head"
    ):
        suite_of(made(), ["saliency@conv3"], ["srg"])
    with pytest.raises(ValueError, match=r"Target .* of sample 2 is out of range"):
        suite_of(made(), ["saliency"], ["srg"], probe_of(label=torch.tensor([0, 1, 3, 1, 0])))


# --- repetition


@pytest.mark.parametrize("max_rows", [1, 3, 200])
def test_chunks_do_not_change_scores(max_rows):
    model = made().double()
    probe = masked()
    methods = ("saliency", IntegratedGradients(3), "grad_cam", "smoothgrad", "occlusion", "saliency@conv")
    inputs = probe.inputs.double()
    whole = suite_of(model, methods, budget=RowBudget(5000), probe=probe).run(model, inputs)
    parts = suite_of(model, methods, budget=RowBudget(max_rows), probe=probe).run(model, inputs)
    same(values(whole), values(parts), 1e-9)


def test_runs_repeat_to_the_last_bit_whatever_the_global_generators():
    model = made()
    suite = suite_of(model, ("saliency", "smoothgrad"), ANY, budget=RowBudget(16))
    torch.manual_seed(1)
    first = suite.run(model)
    torch.manual_seed(2)
    same(values(first), values(suite.run(model)))
    same(values(first), values(suite_of(model, ("saliency", "smoothgrad"), ANY, budget=RowBudget(16)).run(model)))


def test_the_seed_decides_what_is_random():
    model = made()
    one, other = (suite_of(model, ["saliency"], ANY, seed=seed).run(model).scores("a") for seed in (0, 1))
    for name in ("a/random/srg", "a/saliency/infidelity", "a/saliency/mprt"):
        assert one[name].per_sample != other[name].per_sample
    assert one["a/saliency/srg"].per_sample == other["a/saliency/srg"].per_sample


def test_samples_are_scored_one_by_one():
    """A sample's score does not depend on the others, but for mosaics, which are made of them."""
    model = made()
    metrics = [m for m in METRICS if m not in {"drift", "drift_from_best", "focus"}]
    whole = suite_of(model, metrics=metrics).run(model).scores("a")
    part = ProbeSet.from_tensors(images()[:3], label=LABEL[:3], mask=masked().mask[:3])
    few = suite_of(model, metrics=metrics, probe=part).run(model).scores("a")
    for name, score in few.items():
        assert score.per_sample == pytest.approx(whole[name].per_sample[:3], rel=1e-4, abs=1e-4, nan_ok=True), name


def test_metrics_with_settings_of_ones_own():
    model = made()
    own = [MaxSensitivity(copies=2, radius=0.5), Infidelity(normalize=False), CompletenessGap(), DegenerateRate()]
    suite = suite_of(model, [IntegratedGradients(2)], own)
    scores = suite.run(model).scores("a")
    plain = suite_of(model, [IntegratedGradients(2)], ["max_sensitivity", "infidelity"]).run(model).scores("a")
    assert scores["a/integrated_gradients/max_sensitivity"].mean > plain["a/integrated_gradients/max_sensitivity"].mean
    assert scores["a/integrated_gradients/infidelity"] != plain["a/integrated_gradients/infidelity"]
    assert len(suite.run(model).scores("a")["a/integrated_gradients/infidelity"].per_sample) == N  # not 2 N


def snapshot(model):
    return (
        {k: v.clone() for k, v in model.state_dict().items()},
        [id(p) for p in model.parameters()],
        [(p.requires_grad, id(p.grad)) for p in model.parameters()],
        [m.training for m in model.modules()],
        [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()],
        torch.get_rng_state(),
        np.random.get_state()[1].tolist(),
        random.getstate(),
    )


def untouched(before, after):
    assert all(torch.equal(v, after[0][k]) for k, v in before[0].items())
    assert before[1:5] == after[1:5]
    assert torch.equal(before[5], after[5])
    assert before[6:] == after[6:]


def test_the_model_is_left_as_it_was():
    model = made().train()
    model.norm.eval()
    model.conv.weight.requires_grad_(False)
    model(images()).sum().backward()
    suite = suite_of(model, ("saliency", "smoothgrad", "grad_cam", "occlusion"), ANY)
    before = snapshot(model)
    with torch.inference_mode():
        suite.run(model)
    untouched(before, snapshot(model))
    with torch.no_grad():
        suite.explain(model)
    suite.prepare(model)
    untouched(before, snapshot(model))


def test_the_model_is_left_as_it_was_when_a_method_fails():
    class Failing(Saliency):
        def __call__(self, problem):
            if problem.samples > 1:
                raise RuntimeError("out of luck")
            return super().__call__(problem)

    model = made().train()
    suite = suite_of(model, [Failing()], ["srg", "mprt"])
    before = snapshot(model)
    with pytest.raises(RuntimeError, match="out of luck"):
        suite.run(model)
    untouched(before, snapshot(model))

    class FailsWhenRandom(GradCAM):
        def __call__(self, problem):
            if problem.model.norm.weight[0] == 1:
                raise RuntimeError("only with random parameters")
            return super().__call__(problem)

    with torch.no_grad():
        model.norm.weight += 1
    suite = suite_of(model, [FailsWhenRandom()], ["mprt"])
    before = snapshot(model)
    with pytest.raises(RuntimeError, match="only with random parameters"):
        suite.run(model)
    untouched(before, snapshot(model))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_models_in_other_precisions(dtype):
    model = made().to(dtype)
    suite = suite_of(model)
    examination = suite.run(model, images().to(dtype))
    reference = suite_of(made()).run(made())
    for name, score in examination.scores("a").items():
        assert score.n + score.undefined == N
        if "srg" in name or "deletion" in name:
            assert score.mean == pytest.approx(reference.scores("a")[name].mean, abs=0.05)


def test_features_of_the_probe_set_are_perturbed_at_the_input_and_not_at_layers():
    mask = torch.arange(64).view(1, 1, 8, 8) // 16
    suite = suite_of(
        made(), ["kernel_shap", "shapley_values", "kernel_shap@conv2"], ANY, probe=masked(feature_mask=mask)
    )
    examination = suite.run(made())
    by_name = {entry.name: entry.attribution for entry in examination.explained}
    assert by_name["kernel_shap"].coefficients.shape == (N, 4)
    torch.testing.assert_close(
        by_name["kernel_shap"].point[0], by_name["shapley_values"].point[0], rtol=1e-4, atol=1e-5
    )
    assert by_name["kernel_shap@conv2"].coefficients.shape[1] > 4
    scores = examination.scores("a")
    assert {f"a/{name}/srg" for name in by_name} <= set(scores)
    with pytest.raises(ValueError, match=r"Exact Shapley values of 64 features take 2\*\*64 rows a sample"):
        suite_of(made(), ["shapley_values"], ANY).run(made())
