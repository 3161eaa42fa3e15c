import pytest
import torch

from lightning_explain import Input, Layer, Neuron, ProbeSet
from lightning_explain.attribution.methods import METHODS
from lightning_explain.metrics import AverageDrop, IncreaseInConfidence, MonotonicityCorrelation
from lightning_explain.metrics.evaluation import RandomEvaluation
from lightning_explain.metrics.faithfulness.confidence import average_drop, increase_in_confidence, soft_mask
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores


def shown_by_hand(model, x, x0, scores):
    """Chattopadhay et al.: multiply each picture, pixel by pixel, with its map scaled to [0, 1]."""
    drops, rises = [], []
    for i, target in enumerate(TARGET.tolist()):
        most = max(float(s) for s in scores[i])
        seen = x0[i].clone()
        for d, score in enumerate(scores[i].tolist()):
            share = max(score, 0.0) / most
            where = (slice(None), d // 6, d % 6)
            seen[where] = share * x[i][where] + (1 - share) * x0[i][where]
        with torch.no_grad():
            full, part = (float(model(point[None]).softmax(1)[0, target]) for point in (x[i], seen))
        drops.append(max(0.0, full - part) / full)
        rises.append(float(part > full))
    return drops, rises


@pytest.mark.parametrize("baseline", [0.0, 0.5])
@pytest.mark.parametrize("method", ["saliency", "input_x_gradient", "grad_cam@conv2"])
def test_scores_are_those_of_a_loop(method, baseline):
    model, x = Picture(), pictures()
    with evaluation_of(model, x, method, readout="probability", baseline=baseline) as evaluation:
        drop, rise = (metric().per_sample(evaluation) for metric in (AverageDrop, IncreaseInConfidence))
        scores = evaluation.scores
        flat = evaluation.void | (scores.amax(dim=1) <= 0)
    drops, rises = shown_by_hand(model, x, torch.full_like(x, baseline), scores)
    assert int(flat.sum()) < 3
    for i in range(4):
        if flat[i]:
            assert bool(drop[i].isnan() & rise[i].isnan())
        else:
            assert float(drop[i]) == pytest.approx(drops[i], abs=1e-9)
            assert float(rise[i]) == rises[i]
    if method == "saliency":
        assert max(drops) > 0.01


def test_both_directions_occur():
    with evaluation_of(
        Picture(), pictures(40), "saliency", target=TARGET.repeat(10), readout="probability"
    ) as evaluation:
        drop, rise = (metric().per_sample(evaluation) for metric in (AverageDrop, IncreaseInConfidence))
    assert set(rise.tolist()) == {0, 1}
    assert bool(((drop >= 0) & (drop <= 1)).all())
    assert torch.equal(rise == 1, drop == 0)  # ties apart, and here is none


def test_linear_models_have_closed_forms():
    model = Linear((4,), classes=1)
    model.weight.data = torch.tensor([[4.0, 2.0, -1.0, -1.0]], dtype=torch.float64)
    x = torch.ones(2, 4, dtype=torch.float64)
    with evaluation_of(model, x, "input_x_gradient", target=0) as evaluation:
        # Y = 4, and O = 1 * 4 + 0.5 * 2: the negative features are not shown.
        assert IncreaseInConfidence().per_sample(evaluation).tolist() == [1, 1]
        assert AverageDrop().per_sample(evaluation).tolist() == [0, 0]
        other = with_scores(evaluation, torch.tensor([[0.0, 1.0, 2.0, 2.0], [1.0, 0.0, 0.0, 0.5]]))
        assert AverageDrop().per_sample(other).tolist() == pytest.approx([(4 + 1) / 4, (4 - 3.5) / 4])
        assert IncreaseInConfidence().per_sample(other).tolist() == [0, 0]


def test_a_map_that_shows_everything_loses_nothing():
    with evaluation_of(Picture(), pictures(), readout="probability", baseline=0.3) as evaluation:
        nearly = torch.ones(4, 1, 6, 6, dtype=torch.float64)
        nearly[:, :, 0, 0] = 1 - 1e-12
        assert AverageDrop().per_sample(with_scores(evaluation, nearly)).tolist() == pytest.approx([0] * 4, abs=1e-9)
    assert AverageDrop().perfect("raw") == AverageDrop().perfect("probability") == 0
    assert IncreaseInConfidence().perfect("raw") == 1


def test_undefined_samples():
    with evaluation_of(Picture(), pictures(8), target=0, readout="probability") as evaluation:
        scores = torch.randn(8, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        scores[0], scores[1], scores[2, 0, 1, 1] = 0, 3.0, torch.nan
        scores[3], scores[4, 0, 2, 2], scores[5, 0, 2, 2] = -scores[3].abs(), torch.inf, -torch.inf
        for metric in (AverageDrop, IncreaseInConfidence):
            found = metric().per_sample(with_scores(evaluation, scores))
            assert torch.isnan(found).tolist() == [True] * 6 + [False] * 2


def test_a_share_of_what_is_not_positive_means_nothing():
    full, shown = torch.tensor([2.0, 0.0, -1.0, 2.0]), torch.tensor([-1.0, 0.5, -2.0, torch.nan])
    assert average_drop(full, shown)[0] == 1.5
    assert torch.isnan(average_drop(full, shown)).tolist() == [False, True, True, True]
    assert increase_in_confidence(full, shown)[:3].tolist() == [0, 1, 0]
    assert torch.isnan(increase_in_confidence(full, shown)).tolist() == [False] * 3 + [True]


@pytest.mark.parametrize("scale", [1e-40, 1.0, 1e30])
def test_masks_are_scaled_in_every_sample_for_itself(scale):
    scores = torch.tensor([[2.0, -1.0, 1.0], [1.0, 3.0, -2.0]], dtype=torch.float64)
    expected = soft_mask(scores)
    assert expected.tolist() == [[1, 0, 0.5], [pytest.approx(1 / 3), 1, 0]]
    scores[1] *= scale
    torch.testing.assert_close(soft_mask(scores), expected)


def test_several_inputs_are_shown_by_one_mask():
    model, inputs = Pair(), (pictures(), rows())
    with evaluation_of(model, inputs, "saliency", readout="probability") as evaluation:
        drop = AverageDrop().per_sample(evaluation)
        image, row = evaluation.attribution.point
    image = image.sum(dim=1, keepdim=True)
    for i, target in enumerate(TARGET.tolist()):
        most = max(float(image[i].max()), float(row[i].max()))
        parts = [x[i] * phi[i].clamp(min=0) / most for x, phi in zip(inputs, (image, row), strict=True)]
        with torch.no_grad():
            full = float(model(*(x[i : i + 1] for x in inputs)).softmax(1)[0, target])
            seen = float(model(*(part[None] for part in parts)).softmax(1)[0, target])
        assert float(drop[i]) == pytest.approx(max(0, full - seen) / full, abs=1e-9)
    assert float(drop.max()) > 0.01


def test_layers_are_shown_at_the_layer():
    model, x = Picture(), pictures()
    with evaluation_of(model, x, "saliency", place=Layer("conv"), readout="probability") as evaluation:
        drop = AverageDrop().per_sample(evaluation)
        mask = soft_mask(evaluation.scores).view(4, 1, 6, 6)
    with torch.no_grad():
        hidden, empty = model.conv(x), model.conv(torch.zeros_like(x))
        pick = torch.arange(4), TARGET

        def rest(z):
            return (model.head(torch.tanh(model.conv2(torch.tanh(z * 2))).mean(dim=(2, 3))) * 4).softmax(1)[pick]

        full, seen = rest(hidden), rest(empty + mask * (hidden - empty))
    torch.testing.assert_close(drop, (full - seen).clamp(min=0) / full)
    assert float(drop.max()) > 0.001


def test_every_element_for_itself():
    with evaluation_of(
        Picture(), pictures(), "saliency", readout="probability", place=Input(channel_dim=None)
    ) as evaluation:
        assert evaluation.scores.shape == (4, 72)
        elements = AverageDrop().per_sample(evaluation)
    with evaluation_of(Picture(), pictures(), "saliency", readout="probability") as evaluation:
        assert not torch.allclose(AverageDrop().per_sample(evaluation), elements)


def test_one_row_for_each_method(count_rows):
    with (
        count_rows(Picture()) as (model, counted),
        evaluation_of(model, pictures(), "saliency", readout="probability") as evaluation,
    ):
        spent = counted(evaluation)
        AverageDrop().per_sample(evaluation)
        assert spent() == 1
        IncreaseInConfidence().per_sample(evaluation)
        AverageDrop().per_sample(evaluation)
        assert spent() == 1
        random = RandomEvaluation(evaluation.perturbations)
        for metric in (AverageDrop, IncreaseInConfidence):
            assert torch.isfinite(metric().per_sample(random)).all()
        assert spent() == 1 + 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_other_precisions(dtype):
    found = []
    for kind in (torch.float64, dtype):
        model, x = Picture().to(kind), pictures().to(kind)
        with evaluation_of(model, x, "input_x_gradient", readout="probability") as evaluation:
            against = with_scores(evaluation, -evaluation.attribution.point[0])
            found.append(AverageDrop().per_sample(against))
    expected, got = found
    assert got.dtype == torch.float64
    assert float(expected.min()) > 0.05
    torch.testing.assert_close(got, expected, atol=1e-5 if dtype == torch.float32 else 0.05, rtol=0)


def test_where_it_applies():
    numbers = ProbeSet(pictures())
    ids = ProbeSet(torch.ones(4, 3, dtype=torch.long))
    mixed = ProbeSet((torch.ones(4, 3, dtype=torch.long), pictures()))
    method = METHODS["saliency"]()
    reasons = {
        AverageDrop(): "integer inputs cannot be shown in part",
        IncreaseInConfidence(): "integer inputs cannot be shown in part",
        MonotonicityCorrelation(): "integer inputs cannot be filled with random numbers",
    }
    for metric, reason in reasons.items():
        assert metric.missing(method, Input(), numbers) is None
        assert metric.missing(method, Input(), mixed) is None
        assert metric.missing(method, Layer("embedding"), ids) is None
        for place in (Input(), Neuron("head", 0)):
            assert metric.missing(method, place, ids) == reason
