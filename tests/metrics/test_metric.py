import copy
import math
import pickle
import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn
from torchmetrics import MetricCollection, MetricTracker

from lightning_explain import IntegratedGradients
from lightning_explain.attribution.regions import Grid
from lightning_explain.metrics import (
    METRICS,
    SRG,
    AttributionMetric,
    Drift,
    Infidelity,
    RelevanceMass,
    RelevanceRank,
    Score,
)
from metrics.evaluations import Picture, evaluation_of, pictures

mpl.use("Agg")

DIRECTIONS = {
    "agreement": True,
    "attribution_localisation": True,
    "average_drop": False,
    "average_sensitivity": False,
    "completeness": True,
    "completeness_gap": False,
    "complexity": False,
    "comprehensiveness": True,
    "continuity": False,
    "degenerate_rate": False,
    "deletion_auc": False,
    "drift": None,
    "drift_from_best": None,
    "effective_complexity": False,
    "efficient_mprt": True,
    "faithfulness_correlation": True,
    "faithfulness_estimate": True,
    "focus": True,
    "increase_in_confidence": True,
    "infidelity": False,
    "input_invariance": False,
    "insertion_auc": True,
    "irof": True,
    "local_lipschitz": False,
    "localisation_auc": True,
    "max_sensitivity": False,
    "monotonicity": True,
    "monotonicity_correlation": True,
    "mprt": False,
    "mprt_bottom_up": False,
    "mprt_independent": False,
    "mprt_top_down": False,
    "non_sensitivity": False,
    "pixel_flipping": False,
    "pointing_game": True,
    "random_logit": False,
    "region_perturbation": True,
    "relative_input_stability": False,
    "relative_output_stability": False,
    "relative_representation_stability": False,
    "relevance_mass": True,
    "relevance_rank": True,
    "road": False,
    "selectivity": False,
    "sensitivity_n": True,
    "smooth_mprt": False,
    "sparseness": True,
    "srg": True,
    "sufficiency": False,
    "top_k_intersection": True,
}


FEW_VALUES = {
    "completeness",
    "degenerate_rate",
    "non_sensitivity",
    "pointing_game",
    "top_k_intersection",
    "monotonicity",
    "road",
}
"""Scores that may by chance be the same for other samples."""


@pytest.fixture
def batches():
    """Two evaluations that every metric can score, with different samples."""
    with (
        evaluation_of(Picture(), pictures(4, seed=1), IntegratedGradients(2), of=fields(1)) as first,
        evaluation_of(Picture(), pictures(4, seed=2), IntegratedGradients(2), of=fields(2)) as second,
    ):
        yield first, second


def fields(seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        "mask": torch.rand(4, 36, generator=generator) < 0.3,
        "previous": torch.randn(4, 36, generator=generator),
        "best": torch.randn(4, 36, generator=generator),
        "others": {"other": torch.randn(4, 36, generator=generator)},
        "label": torch.tensor([0, 1, 2, 1]),
        "randomised": torch.randn(4, 36, generator=generator),
    }


@pytest.fixture(params=METRICS)
def metric(request):
    return METRICS[request.param]()


def close(a, b):
    torch.testing.assert_close(
        torch.as_tensor(a), torch.as_tensor(b), equal_nan=True, atol=1e-6, rtol=1e-5, check_dtype=False
    )


def test_every_metric_declares_its_direction():
    assert {name: cls().higher_is_better for name, cls in METRICS.items()} == DIRECTIONS


def test_what_torchmetrics_wants_to_know(metric):
    assert metric.is_differentiable is False
    assert metric.full_state_update is False
    assert METRICS[metric.name] is type(metric)
    with pytest.raises(RuntimeError, match="Can't change const"):
        metric.higher_is_better = True


def test_updates_join_what_they_saw(metric, batches):
    for evaluation in batches:
        metric.update(evaluation)
    joined = torch.cat([type(metric)().per_sample(evaluation) for evaluation in batches]).double()
    score = metric.score()
    close(score.per_sample, joined)
    close(score.mean, joined.nanmean())
    close(metric.compute(), joined.nanmean().float())
    assert len(score.per_sample) == 8
    assert float(joined[:4].nanmean()) != float(joined[4:].nanmean()) or metric.name in FEW_VALUES


def test_reset_forgets(metric, batches):
    first, second = batches
    metric.update(first)
    metric.reset()
    assert metric.score().per_sample == ()
    metric.update(second)
    fresh = type(metric)()
    fresh.update(second)
    close(metric.score().per_sample, fresh.score().per_sample)


def test_forward_gives_the_batch_and_keeps_the_whole(metric, batches):
    for evaluation in batches:
        close(metric(evaluation), type(metric)().per_sample(evaluation).nanmean().float())
    close(metric.compute(), torch.cat([type(metric)().per_sample(e) for e in batches]).nanmean().float())


def test_compute_gives_one_number_in_float32(metric, batches):
    metric.update(batches[0])
    value = metric.compute()
    assert (value.shape, value.dtype, value.device) == ((), torch.float32, metric.device)


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_nothing_seen_is_undefined(metric):
    assert torch.isnan(metric.compute())
    score = metric.score()
    assert (score.n, score.undefined, score.per_sample) == (0, 0, ())
    assert math.isnan(score.mean)
    assert math.isnan(score.standard_error)


def test_pickled_copied_and_cloned(metric, batches):
    metric.update(batches[0])
    for other in (pickle.loads(pickle.dumps(metric)), copy.deepcopy(metric), metric.clone()):
        close(other.score().per_sample, metric.score().per_sample)
        other.update(batches[1])
        assert len(other.score().per_sample) == 8
        assert len(metric.score().per_sample) == 4


def test_unknown_settings_are_refused(metric):
    with pytest.raises(ValueError, match="Unexpected keyword arguments: `normalise`"):
        type(metric)(normalise=True)


def test_states_have_names_of_their_own():
    states = [name for cls in METRICS.values() for name in cls()._defaults]
    assert len(set(states)) == len(states) == len(METRICS)


def test_a_state_dict_is_loaded_into_a_new_metric(metric, batches):
    metric.persistent(True)
    metric.update(batches[0])
    other = type(metric)()
    other.persistent(True)
    other.load_state_dict(metric.state_dict())
    close(other.score().per_sample, metric.score().per_sample)
    assert len(other.score().per_sample) == 4


def test_settings_are_told_apart_by_the_name_of_the_state():
    same = [SRG(), SRG(16), SRG(steps=16), copy.deepcopy(SRG()), pickle.loads(pickle.dumps(SRG()))]
    others = [SRG(4), SRG(partition=Grid(2)), SRG(fill="uniform"), Infidelity(), Infidelity(normalize=False)]
    assert len({metric._state for metric in same}) == 1
    assert len({metric._state for metric in (same[0], *others)}) == 1 + len(others)
    collection = MetricCollection({"few": SRG(2), "many": SRG(16)})
    assert len({name for metric in collection.values() for name in metric._defaults}) == 2


def test_the_name_of_the_state_is_the_same_in_another_process():
    code = (
        "from lightning_explain.metrics import SRG, Infidelity;"
        "Infidelity(); print(SRG(steps=4)._state, Infidelity(normalize=False)._state)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [SRG(steps=4)._state, Infidelity(normalize=False)._state]


class TestTwoProcesses:
    """As seen by one of two, whose gathering gives the other's scores too."""

    @pytest.fixture
    def pair(self, batches):
        metrics = [RelevanceMass(), RelevanceMass()]
        for metric, evaluation in zip(metrics, batches, strict=True):
            metric.update(evaluation)
        metric, other = metrics
        metric.dist_sync_fn = lambda state, group=None: [state, torch.cat(getattr(other, other._state))]
        metric.distributed_available_fn = lambda: True
        joined = torch.cat([torch.tensor(each.score(synced=False).per_sample) for each in metrics])
        return metric, joined

    def test_score_is_of_all_as_compute_is(self, pair):
        metric, joined = pair
        score = metric.score()
        close(score.per_sample, joined)
        close(metric.compute(), score.mean)
        assert len(metric.score(synced=False).per_sample) == 4
        assert not metric._is_synced

    def test_what_is_synced_already_is_left_so(self, pair):
        metric, joined = pair
        metric.sync(metric.dist_sync_fn)
        close(metric.score().per_sample, joined)
        assert metric._is_synced
        metric.unsync()
        assert len(metric.score(synced=False).per_sample) == 4


def test_compute_needs_no_interval(metric, batches, monkeypatch):
    monkeypatch.setattr(Score, "of", lambda *_: pytest.fail("the whole score was made"))
    metric.update(batches[0])
    assert metric.compute().shape == ()


def test_a_collection_gives_what_each_gives_alone(batches):
    collection = MetricCollection({name: cls() for name, cls in METRICS.items()})
    alone = {name: cls() for name, cls in METRICS.items()}
    for evaluation in batches:
        collection.update(evaluation)
        for single in alone.values():
            single.update(evaluation)
    for name, value in collection.compute().items():
        close(value, alone[name].compute())
    collection.reset()
    assert torch.isnan(collection(batches[0])["srg"]) == torch.isnan(alone["srg"](batches[0]))


def test_metrics_that_agree_on_the_first_batch_are_not_merged(batches):
    first, second = batches
    uniform = replace(first, attribution=replace(first.attribution, point=(torch.ones(4, 1, 6, 6),)))
    collection = MetricCollection([RelevanceMass(), RelevanceRank()])
    collection.update(uniform)
    close(collection.compute()["RelevanceMass"], collection.compute()["RelevanceRank"])
    collection.update(second)
    for cls in (RelevanceMass, RelevanceRank):
        single = cls()
        single.update(uniform)
        single.update(second)
        close(collection.compute()[cls.__name__], single.compute())
    values = collection.compute()
    assert float(values["RelevanceMass"]) != pytest.approx(float(values["RelevanceRank"]))


def test_a_tracker_knows_the_best_epoch(batches):
    for settings, expected in (({}, True), ({"artefact": True}, False)):
        tracker = MetricTracker(RelevanceMass(**settings), maximize=RelevanceMass(**settings).higher_is_better)
        values = []
        for evaluation in batches:
            tracker.increment()
            tracker.update(evaluation)
            values.append(float(tracker.compute()))
        assert float(tracker.best_metric()) == pytest.approx(max(values) if expected else min(values))


def test_ranks_are_joined(metric, batches):
    """As torchmetrics does it between processes: states are gathered and concatenated."""
    first, second = batches
    other = type(metric)()
    metric.update(first)
    other.update(second)
    metric.sync(
        dist_sync_fn=lambda state, group=None: [state, torch.cat(getattr(other, other._state))],
        distributed_available=lambda: True,
    )
    joined = torch.cat([type(metric)().per_sample(evaluation) for evaluation in batches]).double()
    close(metric.score().per_sample, joined)
    assert metric.score().n + metric.score().undefined == 8
    metric.unsync()
    assert len(metric.score().per_sample) == 4


def test_scores_do_not_keep_the_graph(batches):
    class Grown(AttributionMetric):
        name = "grown"

        def per_sample(self, evaluation):
            return evaluation.scores.sum(dim=1) * nn.Parameter(torch.ones(()))

    metric = Grown()
    metric(batches[0])
    metric.update(batches[0])
    assert not any(state.requires_grad for state in getattr(metric, metric._state))


def test_a_metric_of_ones_own_is_a_name_and_a_formula(batches):
    class Size(AttributionMetric):
        name = "size"
        higher_is_better = None

        def per_sample(self, evaluation):
            return evaluation.scores.abs().sum(dim=1)

    metric = Size()
    for evaluation in batches:
        metric.update(evaluation)
    assert metric.compute() == pytest.approx(float(torch.cat([e.scores.abs().sum(dim=1) for e in batches]).mean()))
    with pytest.raises(TypeError, match="abstract"):
        type("Empty", (AttributionMetric,), {"name": "empty"})()


def test_plots_draw_into_the_given_axes_and_leave_pyplot_alone(metric, batches):
    from matplotlib import pyplot as plt

    metric.update(batches[0])
    before = plt.get_fignums()
    axes = Figure().subplots()
    metric.plot(ax=axes)
    assert axes.has_data()
    curve = Figure().subplots()
    values = [torch.tensor(v) for v in (0.1, 0.3, 0.2)]
    metric.plot(values, ax=curve)
    assert list(curve.lines[0].get_ydata()) == pytest.approx([0.1, 0.3, 0.2])
    assert plt.get_fignums() == before
    figure, _ = metric.plot()
    plt.close(figure)


def test_settings_survive(batches):
    metric = pickle.loads(pickle.dumps(Infidelity(normalize=False)))
    assert metric.normalize is False
    metric.update(batches[0])
    close(metric.score().per_sample, Infidelity(normalize=False).per_sample(batches[0]))
    assert Drift().score().higher_is_better is None
