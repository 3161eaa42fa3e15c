import pytest
import torch

from lightning_explain import Layer, Neuron
from lightning_explain.attribution.regions import Grid, Regions
from lightning_explain.metrics import Comprehensiveness, Sufficiency
from lightning_explain.metrics.evaluation import RandomEvaluation
from lightning_explain.metrics.faithfulness.rationale import mean_drop
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores
from metrics.oracles import quantus_scores


def erased_by_hand(model, x, x0, scores, target, counts):
    """DeYoung et al.: cut the rationale out, or everything else, and subtract from the whole, size by size."""
    cut, kept = [], []
    for i in range(len(x)):
        order = sorted(range(36), key=lambda d, i=i: -float(scores[i, d]))
        falls = [[], []]
        for count in counts:
            for which, gone in enumerate((order[:count], order[count:])):
                left = x[i].clone()
                for d in gone:
                    left[:, d // 6, d % 6] = x0[i][:, d // 6, d % 6]
                with torch.no_grad():
                    whole, less = (float(model(p[None]).softmax(1)[0, target[i]]) for p in (x[i], left))
                falls[which].append(whole - less)
        cut.append(sum(falls[0]) / len(counts))
        kept.append(sum(falls[1]) / len(counts))
    return torch.tensor(cut, dtype=torch.float64), torch.tensor(kept, dtype=torch.float64)


@pytest.mark.parametrize(
    ("settings", "counts"),
    [({}, [1, 2, 4, 7, 18]), ({"shares": (0.3, 0.01, 1.0, 0.3)}, [11, 1, 36, 11])],
)
def test_drops_are_those_of_a_loop(settings, counts):
    model, x = Picture(), pictures()
    with evaluation_of(model, x, "input_x_gradient", readout="probability", baseline=0.5) as evaluation:
        scores = evaluation.scores.round(decimals=2)  # some ties
        ties = with_scores(evaluation, scores.view(4, 1, 6, 6))
        cut, kept = (metric(**settings).per_sample(ties) for metric in (Comprehensiveness, Sufficiency))
    expected = erased_by_hand(model, x, torch.full_like(x, 0.5), scores, TARGET, counts)
    torch.testing.assert_close(cut, expected[0], atol=1e-9, rtol=0)
    torch.testing.assert_close(kept, expected[1], atol=1e-9, rtol=0)
    assert cut.dtype == kept.dtype == torch.float64


def test_linear_models_have_closed_forms():
    weights = torch.tensor([[8.0, 4.0, 2.0, 1.0, 0.5, -0.5, -1.0, -2.0, -3.0, -4.0]], dtype=torch.float64)
    model = Linear((10,), classes=1)
    model.weight.data = weights
    x = torch.ones(2, 10, dtype=torch.float64)
    with evaluation_of(model, x, "input_x_gradient", target=0) as evaluation:
        assert Comprehensiveness((0.1, 0.2, 0.5)).per_sample(evaluation).tolist() == pytest.approx(
            [(8 + 12 + 15.5) / 3] * 2
        )
        assert Sufficiency((0.1, 0.2, 0.5)).per_sample(evaluation).tolist() == pytest.approx(
            [5 - (8 + 12 + 15.5) / 3] * 2
        )
        # What is cut and what is kept add up to the whole.
        both = [metric().per_sample(evaluation) for metric in (Comprehensiveness, Sufficiency)]
        assert sum(both).tolist() == pytest.approx([5] * 2)
        # No other order can be more comprehensive, nor more sufficient.
        for seed in range(10):
            other = with_scores(evaluation, rows(2, 10, seed))
            assert bool((Comprehensiveness().per_sample(other) <= both[0]).all())
            assert bool((Sufficiency().per_sample(other) >= both[1]).all())


def test_all_and_nothing():
    with evaluation_of(Picture(), pictures(), "input_x_gradient", readout="probability") as evaluation:
        span = evaluation.perturbations.shown()
        everything = (1.0,)
        torch.testing.assert_close(
            Comprehensiveness(everything).per_sample(evaluation), span.value - span.baseline_value, check_dtype=False
        )
        assert Sufficiency(everything).per_sample(evaluation).tolist() == [0] * 4


def test_a_rationale_holds_one_feature_at_least_and_the_same_size_costs_one_row(count_rows):
    model = Linear((5,))
    with (
        count_rows(model) as (model, counted),
        evaluation_of(model, rows(), "input_x_gradient", readout="probability") as evaluation,
    ):
        spent = counted(evaluation)
        found = Comprehensiveness().per_sample(evaluation)  # 1, 1, 1, 1 and 2 of 5
        assert spent() == 2
        one, two = (Comprehensiveness((share,)).per_sample(evaluation) for share in (0.2, 0.4))
        torch.testing.assert_close(found, (4 * one + two) / 5)


class Own:
    """Regions of each sample's own: 9 and more, 5, 2 and 1 of them."""

    ids = torch.stack([torch.arange(36) // 4, torch.arange(36) // 8, torch.arange(36) // 18, torch.zeros(36).long()])

    def __call__(self, z, space):
        return Regions(self.ids, 9)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_a_rationale_holds_one_region_at_least_of_every_sample(share):
    """A tenth of two regions is rounded to none: the sample would have a drop of 0, whatever its map says."""
    model, x = Picture(), pictures()
    with evaluation_of(model, x, "input_x_gradient", readout="probability") as evaluation:
        cut, kept = (metric((share,), Own()).per_sample(evaluation) for metric in (Comprehensiveness, Sufficiency))
        scores = evaluation.scores
    for i, regions in enumerate((9, 5, 2, 1)):
        means = [float(scores[i][Own.ids[i] == r].mean()) for r in range(regions)]
        order = sorted(range(regions), key=lambda r, means=means: -means[r])
        chosen = order[: max(1, round(share * regions))]
        taken = torch.isin(Own.ids[i], torch.tensor(chosen)).view(1, 6, 6)
        with torch.no_grad():
            whole, without, alone = (
                float(model(p[None]).softmax(1)[0, TARGET[i]]) for p in (x[i], x[i] * ~taken, x[i] * taken)
            )
        assert float(cut[i]) == pytest.approx(whole - without, abs=1e-9)
        assert float(kept[i]) == pytest.approx(whole - alone, abs=1e-9)
    assert bool((cut != 0).all())


def test_rows(count_rows):
    with (
        count_rows(Picture()) as (model, counted),
        evaluation_of(model, pictures(), "input_x_gradient", readout="probability") as evaluation,
    ):
        spent = counted(evaluation)
        Comprehensiveness().per_sample(evaluation)
        assert spent() == 5
        Sufficiency().per_sample(evaluation)
        assert spent() == 5 + 5
        Comprehensiveness().per_sample(evaluation)
        assert spent() == 5 + 5
        Comprehensiveness().per_sample(RandomEvaluation(evaluation.perturbations))
        assert spent() == 5 + 5 + 5


def test_other_fills_regions_and_inputs():
    model, x = Picture(), pictures()
    with evaluation_of(model, x, "input_x_gradient", readout="probability") as evaluation:
        zeros = Comprehensiveness(fill="zeros").per_sample(evaluation)
        torch.testing.assert_close(zeros, Comprehensiveness().per_sample(evaluation))
        assert not torch.allclose(Sufficiency(fill="mean").per_sample(evaluation), Sufficiency().per_sample(evaluation))
        cells = Comprehensiveness((0.25,), Grid(2)).per_sample(evaluation)
        best = evaluation.scores.view(4, 2, 3, 2, 3).sum(dim=(2, 4)).flatten(1).argmax(dim=1)
        for i in range(4):
            left = x[i : i + 1].clone()
            top, start = 3 * (int(best[i]) // 2), 3 * (int(best[i]) % 2)
            left[:, :, top : top + 3, start : start + 3] = 0
            with torch.no_grad():
                fell = (model(x[i : i + 1]).softmax(1) - model(left).softmax(1))[0, TARGET[i]]
            assert float(cells[i]) == pytest.approx(float(fell), abs=1e-9)
    with evaluation_of(Pair(), (pictures(), rows()), "input_x_gradient", readout="probability") as evaluation:
        drops = Comprehensiveness((0.5,)).per_sample(evaluation) - Sufficiency((0.5,)).per_sample(evaluation)
        assert float(drops.mean()) > 0


@pytest.mark.parametrize("place", [Layer("conv"), Neuron("conv2", (1, 2, 2))])
def test_other_places(place):
    with evaluation_of(Picture(), pictures(), "input_x_gradient", place=place) as evaluation:
        ours = Comprehensiveness().per_sample(evaluation)
        random = Comprehensiveness().per_sample(RandomEvaluation(evaluation.perturbations))
    assert float((ours - random).min()) > 0


def test_maps_that_order_nothing_are_undefined():
    with evaluation_of(Picture(), pictures()) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[0], scores[1], scores[2, 0, 1, 1] = 0, 3.0, torch.nan
        for metric in (Comprehensiveness, Sufficiency):
            found = metric().per_sample(with_scores(evaluation, scores))
            assert torch.isnan(found).tolist() == [True, True, True, False]


def test_drops_of_low_precision_are_averaged_in_double():
    drop = mean_drop(torch.tensor([1.0]), torch.full((1, 3), 1 - 2**-20))
    assert float(drop) == 2**-20


def test_the_best_score_is_known_for_probabilities_alone():
    assert [Comprehensiveness().perfect(r) for r in ("probability", "raw")] == [1, None]
    assert [Sufficiency().perfect(r) for r in ("probability", "raw")] == [None, None]  # below 0, a rationale says more


@pytest.mark.parametrize("shares", [(), (0.0, 0.5), (0.5, 1.1)])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(ValueError, match=r"shares must be numbers in \(0, 1\], such as \(0.01, .*got \("):
        Sufficiency(shares)


def test_sufficiency_of_quantus_is_another_score(quantus):
    """Dasgupta et al.'s: do samples with similar maps have the same label? It depends on who else is in the batch."""
    model, x = Picture(channels=1), pictures(8)[:, :1]
    with torch.no_grad():
        target = model(x).argmax(dim=1)
    with evaluation_of(model, x, "input_x_gradient", target=target) as evaluation:
        phi = evaluation.attribution.point[0]
        ours = Sufficiency().per_sample(evaluation)
    with evaluation_of(model, x[:4], "input_x_gradient", target=target[:4]) as evaluation:
        torch.testing.assert_close(Sufficiency().per_sample(evaluation), ours[:4])
    metric = quantus.Sufficiency(threshold=0.8, disable_warnings=True)
    eight = quantus_scores(metric, model, x, target, phi)
    four = quantus_scores(metric, model, x[:4], target[:4], phi[:4])
    assert eight[:4].tolist() == [1, 1, 0, 1]
    assert four.tolist() == [0, 0, 0, 0]
