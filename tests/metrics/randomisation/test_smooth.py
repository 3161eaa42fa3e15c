import warnings

import pytest
import torch
from torch import nn

from lightning_explain import Input, Occlusion, ProbeSet, explain
from lightning_explain.attribution.noise import gaussian
from lightning_explain.metrics import MPRTBottomUp, SmoothMPRT
from lightning_explain.metrics.layers import parameter_layers
from metrics.evaluations import TARGET, Picture, evaluation_of, pictures, rows, with_scores
from metrics.oracles import oracle
from metrics.randomisation.test_cascade import correlation, pixels, twin_of


@pytest.fixture(scope="module")
def quantus():
    return oracle("quantus")


def averaged(model, x, method, copies, stdev, seed):
    """Explain every noisy copy by itself."""
    noise = gaussian(x, stdev, seed)
    total = 0
    for copy in range(copies):
        total = total + explain(model, x + noise(copy)[0], method, target=TARGET).values
    return pixels(total / copies)


@pytest.mark.parametrize("order", ["bottom_up", "top_down", "independent"])
def test_maps_are_averaged_over_the_same_noise(order):
    model, x, method = Picture(), pictures(), "input_x_gradient"
    metric = SmoothMPRT(copies=3, stdev=0.2, order=order, seed=2)
    with evaluation_of(model, x, method) as evaluation:
        curve, got = metric.by_layer(evaluation), metric.per_sample(evaluation)
        layers = parameter_layers(evaluation.problem)
    original = averaged(model, x, method, 3, 0.2, 2)
    chosen = {"bottom_up": {"conv", "conv2"}, "top_down": {"head", "conv2"}, "independent": {"conv2"}}[order]
    other = averaged(twin_of(model, layers, chosen, 2), x, method, 3, 0.2, 2)
    by_hand = [correlation(a, b) for a, b in zip(original, other, strict=True)]
    assert curve["conv2"].tolist() == pytest.approx(by_hand, abs=1e-6)
    torch.testing.assert_close(got, torch.stack(list(curve.values())).mean(dim=0))


def test_the_noise_itself_costs_no_similarity():
    """A layer without a say leaves the average exactly as it was."""

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.offset = nn.Linear(5, 3).double(), nn.Linear(5, 3).double()

        def forward(self, x):
            return torch.tanh(self.used(x)) + self.offset(x).detach()

    with evaluation_of(Branches(), rows(), "saliency") as evaluation:
        curve = SmoothMPRT(copies=2, stdev=1.0, order="independent").by_layer(evaluation)
    torch.testing.assert_close(curve["offset"], torch.ones(4, dtype=torch.float64))


def test_rows():
    seen, model = [], Picture()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))
    with evaluation_of(model, pictures(), "saliency") as evaluation:
        MPRTBottomUp().per_sample(evaluation)
        seen.clear()
        SmoothMPRT(copies=5).per_sample(evaluation)
        assert sum(seen) == 5 * (1 + 3) * 4  # the model and its three random versions
        seen.clear()
        SmoothMPRT(copies=5, order="top_down").per_sample(evaluation)
        assert sum(seen) == 5 * 2 * 4  # the last stage is the same
        seen.clear()
        SmoothMPRT(copies=5, order="top_down").per_sample(evaluation)
        assert sum(seen) == 0


def test_dead_maps_do_not_matter_where_the_average_is_alive():
    """The averaged map counts, not the evaluated one."""
    with evaluation_of(Picture(), pictures()) as evaluation:
        dead = with_scores(evaluation, torch.zeros_like(evaluation.attribution.point[0]))
        got = SmoothMPRT(copies=2).per_sample(dead)
        torch.testing.assert_close(got, SmoothMPRT(copies=2).per_sample(evaluation))

    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 3).double()

        def forward(self, x):
            return self.layer(x.clamp(min=9, max=10))

    with evaluation_of(Flat(), rows(), "saliency") as evaluation:
        assert torch.isnan(SmoothMPRT(copies=2).per_sample(evaluation)).all()


def test_integer_inputs_cannot_be_averaged():
    tokens = ProbeSet.from_tensors(torch.randint(0, 9, (3, 5)), target=0)
    assert "no noise can be added" in SmoothMPRT().missing(Occlusion(), Input(), tokens)
    assert SmoothMPRT().missing(Occlusion(), Input(), ProbeSet.from_tensors(rows(), target=0)) is None


def test_settings_are_checked():
    with pytest.raises(ValueError, match="copies must be at least 1 and stdev positive, got 0 and"):
        SmoothMPRT(copies=0)
    with pytest.raises(ValueError, match="copies must be at least 1 and stdev positive, got 8 and 0"):
        SmoothMPRT(stdev=0)
    with pytest.raises(ValueError, match=r"No order of randomisation 'top'\. Did you mean 'top_down'"):
        SmoothMPRT(order="top")


def test_quantus_ignores_the_explainer_that_it_is_given(quantus):
    called = []

    def ours(model, inputs, targets, **_):
        called.append(len(inputs))
        return inputs.sum(axis=1, keepdims=True)

    model, x = Picture().float().eval(), pictures().float().numpy()
    state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = quantus.SmoothMPRT(nr_samples=2, disable_warnings=True, return_average_correlation=True)
        metric(model=model, x_batch=x, y_batch=TARGET.numpy(), a_batch=x.sum(1, keepdims=True), explain_func=ours)
    torch.set_rng_state(state)
    assert called == []
