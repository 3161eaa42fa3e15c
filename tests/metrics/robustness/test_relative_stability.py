from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lightning_explain import Layer, explain
from lightning_explain.inputs import leaves
from lightning_explain.metrics import (
    MaxSensitivity,
    RelativeInputStability,
    RelativeOutputStability,
    RelativeRepresentationStability,
)
from lightning_explain.metrics.robustness.changes import elementwise_change
from lightning_explain.metrics.robustness.noise import Noise, noisy_copies
from lightning_explain.metrics.robustness.relative_stability import predicted
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores
from metrics.oracles import oracle

ALL = [RelativeInputStability, RelativeOutputStability, RelativeRepresentationStability]


@pytest.fixture(scope="module")
def quantus():
    return oracle("quantus")


def ratio_norm(after, before, eps):
    """Per sample, element by element: the paper's quotient, small denominators raised."""
    total = 0.0
    for a, b in zip(after, before, strict=True):
        least = eps * max(abs(float(v)) for v in b.flatten())
        for u, v in zip(a.flatten(), b.flatten(), strict=True):
            total += ((float(u) - float(v)) / max(abs(float(v)), least)) ** 2
    return total**0.5


def by_hand(kind, model, inputs, method, copies, eps=1e-2, target=TARGET, hidden=None):
    result = []
    for i in range(len(target)):

        def one(point, i=i):
            return tuple(leaf[i : i + 1] for leaf in leaves(point))

        def ask(point, i=i):
            point = one(point)
            with torch.no_grad():
                output = model(*point)
            given = point if len(point) > 1 else point[0]
            values = explain(model, given, method, target=target[i : i + 1]).values
            return output, leaves(values), None if hidden is None else (hidden(*point),)

        output, attribution, inner = ask(inputs)
        worst = float("nan")
        for copy in copies:
            other, changed, inner_there = ask(copy)
            if int(other.argmax()) != int(output.argmax()):
                continue
            divisor = {
                RelativeInputStability: lambda copy=copy: ratio_norm(one(copy), one(inputs), eps),
                RelativeOutputStability: lambda other=other, output=output: float((other - output).norm()),
                RelativeRepresentationStability: lambda a=inner_there, b=inner: ratio_norm(a, b, eps),
            }[kind]()
            value = ratio_norm(changed, attribution, eps) / max(divisor, eps)
            worst = value if worst != worst else max(worst, value)
        result.append(worst)
    return torch.tensor(result, dtype=torch.float64)


def undecided():
    """A model whose prediction noise can change."""
    model = Picture()
    model.head.bias.data.zero_()
    model.head.weight.data[1] = model.head.weight.data[0] + 0.02
    return model


def pooled(model):
    def hidden(x):
        with torch.no_grad():
            return torch.tanh(model.conv2(torch.tanh(model.conv(x) * 2))).mean(dim=(2, 3))

    return hidden


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("radius", [0.1, 1.5])
def test_it_is_the_worst_of_separately_explained_copies(kind, radius):
    model, x = undecided(), pictures()
    copies = list(noisy_copies(x, Noise(4, radius, 3)))
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        got = kind(copies=4, radius=radius, seed=3).per_sample(evaluation)
    expected = by_hand(kind, model, x, "input_x_gradient", copies, hidden=pooled(model))
    torch.testing.assert_close(got, expected, equal_nan=True)
    assert int(torch.isfinite(got).sum()) >= 2


def test_copies_with_another_prediction_do_not_count():
    model, x = undecided(), pictures()
    copies = list(noisy_copies(x, Noise(6, 1.5, 0)))
    with torch.no_grad():
        flips = torch.stack([model(copy).argmax(1) != model(x).argmax(1) for copy in copies])
    assert bool(flips.any())
    assert not bool(flips.all())
    with evaluation_of(model, x, "saliency") as evaluation:
        got = RelativeInputStability(copies=6, radius=1.5).per_sample(evaluation)
        every = torch.stack([
            elementwise_change(evaluation.explain(evaluation.problem.with_inputs(copy)), evaluation.point, 1e-2)
            / elementwise_change((copy,), (x,), 1e-2)
            for copy in copies
        ])
    for i in range(4):
        kept = every[~flips[:, i], i]
        assert torch.isnan(got[i]) if not len(kept) else float(got[i]) == pytest.approx(float(kept.max()))


def test_none_is_left():
    class Flip(nn.Module):
        """Its prediction changes wherever the input does."""

        def forward(self, x):
            first = (x == 1).all(dim=1, keepdim=True).double()
            return torch.cat([first, 1 - first], dim=1) * 9 + x.square() * 0.01

    x = torch.ones(3, 2, dtype=torch.float64)
    x[1, 0] = 0.5
    for kind in ALL[:2]:
        with evaluation_of(Flip(), x, target=0) as evaluation:
            got = kind(copies=5, radius=0.1).per_sample(evaluation)
        assert torch.isnan(got).tolist() == [True, False, True]


def test_several_inputs():
    model, inputs = Pair(), (pictures(), 10 * rows())
    copies = list(noisy_copies(inputs, Noise(2, 0.05, 0)))
    for kind in ALL[:2]:
        with evaluation_of(model, inputs, "saliency") as evaluation:
            got = kind(copies=2, radius=0.05).per_sample(evaluation)
        torch.testing.assert_close(got, by_hand(kind, model, inputs, "saliency", copies), equal_nan=True)


def test_input_x_gradient_of_a_linear_model_is_exactly_as_stable_as_its_input():
    """(w x' - w x) / (w x) = (x' - x) / x: the ratio is 1, whatever the weights."""
    x = pictures().abs() + 1
    with evaluation_of(Linear((2, 6, 6)), x, "input_x_gradient") as evaluation:
        got = RelativeInputStability(eps_min=1e-9, radius=0.01).per_sample(evaluation)
    torch.testing.assert_close(got, torch.ones(4, dtype=torch.float64))


def test_the_gradient_of_a_linear_model_is_stable():
    with evaluation_of(Linear((2, 6, 6)), pictures(), "saliency") as evaluation:
        for kind in ALL[:2]:
            assert float(kind(radius=0.01).per_sample(evaluation).max()) < 1e-12


def test_small_elements_do_not_decide():
    before = torch.tensor([[10.0, 0.0, -0.05], [0.0, 0.0, 0.0]])
    after = before + 0.1
    got = elementwise_change((after,), (before,), 1e-2)
    assert float(got[0]) == pytest.approx((0.01**2 + 1 + 1) ** 0.5)
    assert torch.isnan(got[1])
    # A tensor that is all zero is measured against the others; each tensor has units of its own otherwise.
    two = elementwise_change((after[:1], torch.tensor([[0.1]])), (before[:1], torch.tensor([[0.0]])), 1e-2)
    assert float(two) == pytest.approx((0.01**2 + 1 + 1 + 1) ** 0.5)
    apart = elementwise_change((before[:1], torch.tensor([[2e-6]])), (before[:1], torch.tensor([[1e-6]])), 1e-2)
    assert float(apart) == pytest.approx(1)


def test_scale_and_sign_of_the_map_do_not_matter():
    with evaluation_of(Picture(), pictures()) as evaluation:
        expected = RelativeInputStability().per_sample(evaluation)
    before, after = torch.randn(3, 5), torch.randn(3, 5)
    torch.testing.assert_close(
        elementwise_change((-7 * after,), (-7 * before,), 0.1), elementwise_change((after,), (before,), 0.1)
    )
    assert float(expected.min()) > 0


def test_the_least_change_of_the_divisor():
    """Saturated logits hardly move: the change is divided by eps_min, not by nearly nothing."""

    class Saturated(nn.Module):
        def forward(self, x):
            return torch.stack([x.square().sum(1) * 1e-9, x[:, 0] * 0 - 1], dim=1)

    x = rows()
    with evaluation_of(Saturated(), x, "saliency", target=0) as evaluation:
        got = RelativeOutputStability(eps_min=0.5, copies=2).per_sample(evaluation)
        copies = noisy_copies(x, Noise(2, 0.1, 0))
        changes = [elementwise_change((2e-9 * copy.abs(),), evaluation.point, 0.5) for copy in copies]
    torch.testing.assert_close(got, torch.stack(changes).amax(dim=0) / 0.5)


def test_any_layer_can_give_the_representation():
    model, x = Picture(), pictures()
    copies = list(noisy_copies(x, Noise(2, 0.1, 0)))

    def conv(x):
        with torch.no_grad():
            return model.conv(x)

    expected = by_hand(RelativeRepresentationStability, model, x, "saliency", copies, hidden=conv)
    for layer in ("conv", Layer("conv")):
        with evaluation_of(model, x, "saliency") as evaluation:
            got = RelativeRepresentationStability(layer, copies=2).per_sample(evaluation)
        torch.testing.assert_close(got, expected, equal_nan=True)
    default = by_hand(RelativeRepresentationStability, model, x, "saliency", copies, hidden=pooled(model))
    assert not torch.allclose(default, expected)
    with (
        evaluation_of(model, x, "saliency") as evaluation,
        pytest.raises(ValueError, match=r"No layer 'cov'\. Did you mean 'conv'"),
    ):
        RelativeRepresentationStability("cov").per_sample(evaluation)
    with (
        evaluation_of(Linear((2, 6, 6)), x) as evaluation,
        pytest.raises(ValueError, match="none is its head; name the one whose output is the representation"),
    ):
        RelativeRepresentationStability().per_sample(evaluation)


def test_rows():
    """A set of scores costs one set of copies: E each, one row for the outputs, one for the representation."""
    seen, model = [], Picture()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))

    def cost(metric):
        seen.clear()
        metric.per_sample(evaluation)
        return sum(seen)

    with evaluation_of(model, pictures(), "saliency") as evaluation:
        assert cost(RelativeInputStability(copies=3)) == 4 * (3 + 3)
        assert cost(RelativeOutputStability(copies=3)) == 0
        assert cost(MaxSensitivity(copies=3)) == 0
        assert cost(RelativeRepresentationStability(copies=3)) == 4 * (3 + 1) + 1  # one sample finds the head
        # Another method at the same place pays for its explanations alone.
        evaluation = replace(evaluation)
        assert cost(RelativeRepresentationStability(copies=3)) == 4 * 3


@pytest.mark.parametrize("kind", ALL)
def test_places_and_dead_maps(kind):
    with evaluation_of(Picture(), pictures(), "saliency", place=Layer("conv")) as evaluation:
        got = kind(copies=2).per_sample(evaluation)
    assert bool(torch.isfinite(got).any())
    with evaluation_of(Picture(), pictures(), "saliency") as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[0], scores[2] = 0, torch.nan
        got = kind(copies=2, radius=1e-3).per_sample(with_scores(evaluation, scores))
    assert torch.isnan(got).tolist() == [True, False, True, False]


def test_predictions():
    dense = torch.zeros(2, 3, 4)
    dense[0, 2, 1] = dense[1, 1, 3] = 1
    assert predicted(dense, torch.tensor([[0, 1], [2, 3]])).tolist() == [[2], [1]]
    assert predicted(dense, None).tolist() == [[0, 2, 0, 0], [0, 0, 0, 1]]
    assert predicted(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([[0], [0]])).tolist() == [[1], [0]]
    assert predicted(torch.tensor([0.1, -0.9]), None).tolist() == [[0], [0]]  # one number: every copy counts


def test_regression_has_no_classes_and_every_copy_counts():
    class Regression(nn.Module):
        def forward(self, x):
            return x.pow(3).sum(dim=1)

    with evaluation_of(Regression(), rows(), target="output") as evaluation:
        for kind in ALL[:2]:
            assert bool(torch.isfinite(kind(radius=3.0).per_sample(evaluation)).all())


@pytest.mark.parametrize("kind", ALL)
def test_settings_are_checked(kind):
    with pytest.raises(ValueError, match="eps_min must be positive, got 0"):
        kind(eps_min=0)
    with pytest.raises(ValueError, match="copies must be at least 1 and radius positive, got 3 and -1"):
        kind(radius=-1)


def test_quantus_agrees_where_nothing_is_small(quantus):
    """Its objectives divide by the element itself, unless it is exactly 0."""
    generator = torch.Generator().manual_seed(0)
    x, e, e2 = (1 + torch.rand(4, 1, 5, 5, generator=generator, dtype=torch.float64) for _ in range(3))
    y = x + 0.3 * torch.rand(x.shape, generator=generator, dtype=torch.float64)
    metric = quantus.RelativeInputStability(disable_warnings=True)
    theirs = metric.relative_input_stability_objective(*(t.numpy().copy() for t in (x, y, e, e2)))
    ours = elementwise_change((e2,), (e,), 1e-2) / elementwise_change((y,), (x,), 1e-2)
    torch.testing.assert_close(ours, torch.as_tensor(theirs))


def test_quantus_lets_one_zero_decide(quantus):
    metric = quantus.RelativeInputStability(disable_warnings=True)
    x, y = torch.ones(1, 1, 2, 2).double(), 1.1 * torch.ones(1, 1, 2, 2).double()
    e, e2 = torch.ones(1, 1, 2, 2).double(), torch.ones(1, 1, 2, 2).double()
    e[0, 0, 0, 0], e2[0, 0, 0, 0] = 0, 1e-4  # one dead pixel, that moves by a ten-thousandth of the others' size
    theirs = metric.relative_input_stability_objective(*(t.numpy().copy() for t in (x, y, e, e2)))
    assert float(theirs[0]) == pytest.approx(100 / 0.2, rel=1e-6)
    assert float(elementwise_change((e2,), (e,), 1e-2)) == pytest.approx(0.01)


def test_quantus_moves_the_input_upwards_only(quantus):
    metric = quantus.RelativeInputStability(disable_warnings=True)
    noise = metric.perturb_func(arr=np.zeros((2, 1000)), indices=np.tile(np.arange(1000), (2, 1)))
    assert 0.02 <= noise.min() < noise.max() <= 0.2


def test_quantus_drops_the_sample_for_one_copy_that_flips(quantus):
    class Threshold(nn.Module):
        def forward(self, x):
            x = x.flatten(1)[:, :1]
            return torch.cat([x, torch.full_like(x, 1.1)], dim=1)

    def square(model, inputs, targets, **_):
        return inputs**2

    metric = quantus.RelativeInputStability(nr_samples=30, disable_warnings=True)
    x = np.ones((2, 1, 2, 2), dtype=np.float32)
    x[1] = 9.0  # far away from the threshold
    state = np.random.get_state()
    np.random.seed(0)
    theirs = metric(model=Threshold().eval(), x_batch=x, y_batch=np.array([1, 0]), a_batch=x**2, explain_func=square)
    np.random.set_state(state)
    assert np.isnan(theirs).tolist() == [True, False]
    # Noise in units of 0.25: some copies of the first go above the threshold, most do not.
    near = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    with evaluation_of(Threshold(), near, "input_x_gradient", target=0) as evaluation:
        got = RelativeInputStability(copies=30, radius=0.8).per_sample(evaluation)
    copies = [float(copy[0, 0]) for copy in noisy_copies(near, Noise(30, 0.8, 0))]
    assert min(copies) < 1.1 < max(copies)
    assert torch.isfinite(got).all()
