import numpy as np
import pytest
import torch

from lightning_explain.metrics import SRG, DeletionAUC, InsertionAUC, PixelFlipping
from lightning_explain.metrics.faithfulness.pixel_flipping import pixel_flipping
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores


@pytest.fixture
def quantus(recwarn):
    try:
        import quantus
    except Exception as error:  # noqa: BLE001  (its own dependencies fail in their own ways)
        pytest.skip(f"quantus cannot be imported: {error}")
    return quantus


def flipped_by_hand(model, x, x0, scores, steps):
    """Flip pixels one after the other in one and the same picture, and add up what the model says on the way."""
    means = []
    for i in range(len(x)):
        order = sorted(range(36), key=lambda d, i=i: float(scores[i].flatten()[d]), reverse=True)
        point, said = x[i].clone(), []
        for number, d in enumerate(order, start=1):
            point[:, d // 6, d % 6] = x0[i][:, d // 6, d % 6]
            if number in {round(36 * k / steps) for k in range(1, steps + 1)}:
                with torch.no_grad():
                    said.append(float(model(point[None]).softmax(1)[0, TARGET[i]]))
        means.append(sum(said) / len(said))
    return torch.tensor(means, dtype=torch.float64)


@pytest.mark.parametrize("steps", [5, 36, 1000])
def test_the_mean_is_that_of_a_loop(steps):
    model, x, x0 = Picture(), pictures(), pictures(seed=5)
    with evaluation_of(model, x, "input_x_gradient", readout="probability", baseline=x0) as evaluation:
        scores = evaluation.attribution.point[0].sum(dim=1)
        got = PixelFlipping(steps).per_sample(evaluation)
    torch.testing.assert_close(got, flipped_by_hand(model, x, x0, scores, min(steps, 36)))


def test_the_whole_sample_is_left_out():
    assert pixel_flipping(torch.tensor([[100.0, 4.0, 2.0, 0.0], [torch.nan] * 4]))[0] == 2
    assert pixel_flipping(torch.tensor([[torch.nan] * 4])).isnan().all()


def test_linear_models_have_a_closed_form():
    model = Linear((3,), classes=1)
    model.weight.data = torch.tensor([[1.0, 4.0, 2.0]], dtype=torch.float64)
    with evaluation_of(model, torch.ones(2, 3, dtype=torch.float64), "input_x_gradient", target=0) as evaluation:
        assert PixelFlipping().per_sample(evaluation).tolist() == [(3 + 1 + 0) / 3] * 2
        # The trapezoidal area counts half of either end.
        assert DeletionAUC().per_sample(evaluation).tolist() == pytest.approx([(7 / 2 + 3 + 1 + 0) / 3] * 2)


def test_it_costs_nothing_beside_the_deletion_curve():
    model, seen = Pair(), []
    with evaluation_of(model, (pictures(), rows()), readout="probability") as evaluation:
        handle = model.register_forward_hook(lambda module, args, out: seen.append(len(out)))
        PixelFlipping().per_sample(evaluation)
        assert sum(seen) == 4 * (15 + 1)
        DeletionAUC().per_sample(evaluation)
        assert sum(seen) == 4 * (15 + 1)
        InsertionAUC().per_sample(evaluation), SRG().per_sample(evaluation)
        assert sum(seen) == 4 * (15 + 1 + 15)
        handle.remove()


def test_maps_that_order_nothing_are_undefined():
    with evaluation_of(Picture(), pictures()) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[0], scores[1, 0, 2, 3] = 1.5, torch.nan
        assert PixelFlipping().per_sample(with_scores(evaluation, scores)).isnan().tolist() == [
            True,
            True,
            False,
            False,
        ]


def test_settings():
    assert PixelFlipping().perfect("probability") == 0
    assert PixelFlipping().perfect("raw") is None
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        PixelFlipping(0)


def test_the_curve_is_that_of_quantus(quantus):
    """For one channel, without ties, where it is right; its curve begins after the first flip."""
    model, x = Picture(channels=1), pictures()[:, :1].float()
    with evaluation_of(model.float(), x, "input_x_gradient", readout="probability") as evaluation:
        ours = PixelFlipping(36).per_sample(evaluation)
        maps = evaluation.attribution.point[0].numpy()
    metric = quantus.PixelFlipping(
        features_in_step=1,
        perturb_baseline=0.0,
        abs=False,
        normalise=False,
        disable_warnings=True,
        display_progressbar=False,
    )
    theirs = metric(
        model=model.eval(), x_batch=x.numpy(), y_batch=TARGET.numpy(), a_batch=maps, softmax=True, device="cpu"
    )
    torch.testing.assert_close(ours, torch.tensor(np.mean(theirs, axis=1)).to(ours), atol=1e-5, rtol=0)


def test_quantus_flips_channels_and_finds_no_area(quantus):
    """By default a row for each channel of each pixel; its area needs what NumPy no longer has."""
    model, x = Picture(channels=3).float().eval(), torch.rand(2, 3, 6, 6)
    rows = []
    handle = model.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    given = {"model": model, "x_batch": x.numpy(), "y_batch": TARGET[:2].numpy(), "a_batch": x.sum(1, True).numpy()}
    quantus.PixelFlipping(disable_warnings=True)(**given)
    handle.remove()
    assert sum(rows) == 2 * 3 * 6 * 6
    if not hasattr(np, "trapz"):
        with pytest.raises(AttributeError, match="trapz"):
            quantus.PixelFlipping(disable_warnings=True, return_auc_per_sample=True)(**given)
