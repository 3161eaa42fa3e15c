import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from lightning_explain import GradCAM
from lightning_explain.metrics import MPRT, EfficientMPRT
from lightning_explain.metrics.randomisation.efficient import histogram_entropy, relative_rise
from lightning_explain.metrics.randomisation.parameters import randomised
from metrics.evaluations import Picture, evaluation_of, pictures, with_scores
from metrics.oracles import oracle


@pytest.fixture(scope="module")
def quantus():
    return oracle("quantus")


@pytest.mark.parametrize("bins", [2, 7, 100])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_entropies_are_those_of_numpy_histograms(bins, scale):
    generator = torch.Generator().manual_seed(bins)
    values = scale * torch.randn(5, 300, generator=generator, dtype=torch.float64).pow(3)
    expected = [entropy(np.histogram(row.numpy(), bins=bins)[0]) for row in values]
    torch.testing.assert_close(histogram_entropy(values, bins), torch.tensor(expected))


def test_entropies_in_closed_form():
    spread = torch.arange(8.0)[None]
    assert float(histogram_entropy(spread, 8)) == pytest.approx(math.log(8))
    assert float(histogram_entropy(spread, 4)) == pytest.approx(math.log(4))
    spike = torch.zeros(1, 10)
    spike[0, 3] = 2
    by_hand = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert float(histogram_entropy(spike, 100)) == pytest.approx(by_hand)
    # Units, origin and sign of the map do not matter.
    torch.testing.assert_close(histogram_entropy(5 - 3 * spike, 100), histogram_entropy(spike, 100))
    holes = torch.tensor([[0.0, torch.nan], [0.0, torch.inf], [2.0, 2.0]])
    torch.testing.assert_close(
        histogram_entropy(holes), torch.tensor([torch.nan, torch.nan, 0.0], dtype=torch.float64), equal_nan=True
    )


def test_rises():
    got = relative_rise(torch.tensor([2.0, 2.0, 0.0, torch.nan]), torch.tensor([5.0, 0.0, 1.0, 1.0]))
    torch.testing.assert_close(got, torch.tensor([1.5, -1.0, torch.nan, torch.nan]), equal_nan=True)


@pytest.mark.parametrize("method", ["saliency", GradCAM("conv2", signed=True)])
def test_it_compares_with_the_maps_of_the_random_model(method):
    model, x = Picture(), pictures(size=12)
    with evaluation_of(model, x, method) as evaluation, randomised(model, 3):
        other = evaluation.features(evaluation.explainer(replace(evaluation.problem)).point)
    with evaluation_of(model, x, method, of={"randomised": other.float()}) as evaluation:
        got = EfficientMPRT(bins=20).per_sample(evaluation)
        expected = []
        for ours, theirs in zip(evaluation.scores.numpy(), other.float().numpy(), strict=True):
            first, second = (entropy(np.histogram(row, bins=20)[0]) for row in (ours, theirs))
            expected.append((second - first) / first)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), atol=0.02, rtol=0)
    assert float(got.abs().min()) > 0


def test_no_row_is_run():
    seen, model = [], Picture()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))
    with evaluation_of(model, pictures(), of={"randomised": torch.randn(4, 36)}) as evaluation:
        seen.clear()
        EfficientMPRT().per_sample(evaluation)
    assert seen == []
    assert EfficientMPRT.randomises is MPRT.randomises is True


def test_constant_maps_are_undefined():
    with evaluation_of(Picture(), pictures(), of={"randomised": torch.randn(4, 36)}) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[0], scores[2] = 0, torch.nan
        got = EfficientMPRT().per_sample(with_scores(evaluation, scores))
    assert torch.isnan(got).tolist() == [True, False, True, False]


def test_random_maps_are_needed():
    with (
        evaluation_of(Picture(), pictures()) as evaluation,
        pytest.raises(ValueError, match="efficient_mprt needs the attributions of the model with random parameters"),
    ):
        EfficientMPRT().per_sample(evaluation)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="bins must be at least 2, got 1"):
        EfficientMPRT(bins=1)


def test_quantus_agrees_on_the_entropy(quantus):
    from quantus.functions.complexity_func import discrete_entropy

    values = torch.randn(4, 500, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    theirs = [discrete_entropy(row.numpy(), row.numpy(), n_bins=50) for row in values]
    torch.testing.assert_close(histogram_entropy(values, 50), torch.tensor(theirs))


def test_quantus_counts_dimensions_in_the_rule_of_freedman_and_diaconis(quantus):
    """n, the number of values, is taken to be the number of dimensions: more pixels change no width."""
    from quantus.functions.n_bins_func import freedman_diaconis_rule

    small = np.linspace(0, 1, 16).reshape(1, 4, 4)
    large = np.linspace(0, 1, 4096).reshape(1, 64, 64)
    assert freedman_diaconis_rule(small) == freedman_diaconis_rule(large) == 1
    assert round(4096 ** (1 / 3) / (2 * 0.5)) == 16  # range / (2 IQR n^(-1/3))
