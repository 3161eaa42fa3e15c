import math

import pytest
import torch
from captum.attr import IntegratedGradients as Captum
from captum.attr import LayerIntegratedGradients, NeuronIntegratedGradients
from cases import BY_NAME
from torch import Tensor, nn
from worlds import TARGETS, UNIT, WORLDS, baseline, gradient, net, samples

from lightning_explain import IntegratedGradients, explain
from lightning_explain.attribution.line import QUADRATURES, quadrature

NODES = {
    "riemann_left": lambda n: [(k / n, 1 / n) for k in range(n)],
    "riemann_right": lambda n: [((k + 1) / n, 1 / n) for k in range(n)],
    "riemann_middle": lambda n: [((2 * k + 1) / (2 * n), 1 / n) for k in range(n)],
    "riemann_trapezoid": lambda n: [(k / (n - 1), (0.5 if k in {0, n - 1} else 1.0) / (n - 1)) for k in range(n)],
    # Abramowitz & Stegun, table 25.4, n = 5, moved from [-1, 1] to [0, 1].
    "gauss_legendre": lambda n: [
        ((1 + x) / 2, w / 2)
        for x, w in (
            (-0.906179845938664, 0.236926885056189),
            (-0.538469310105683, 0.478628670499366),
            (0.0, 0.568888888888889),
            (0.538469310105683, 0.478628670499366),
            (0.906179845938664, 0.236926885056189),
        )
    ],
}


@pytest.mark.parametrize("kind", QUADRATURES)
@pytest.mark.parametrize("where", WORLDS)
def test_it_is_the_weighted_sum_of_gradients_on_the_line(kind: str, where: str) -> None:
    model, x, world = net(), samples(), WORLDS[where]
    found = explain(model, x, IntegratedGradients(5, kind), world.place, TARGETS, baseline=baseline(), max_rows=4)
    for i, target in enumerate(TARGETS.tolist()):
        z, z0 = world.variable(model, x[i]).detach(), world.variable(model, baseline()[0]).detach()
        total = torch.zeros_like(z)
        for alpha, weight in NODES[kind](5):
            total += weight * gradient(world, model, z0 + alpha * (z - z0), target)
        expected = (z - z0) * total
        torch.testing.assert_close(found.values[i], expected, rtol=0, atol=1e-12)
        span = world.score(model, z, target) - world.score(model, z0, target)
        assert found.span[i].item() == pytest.approx(span.item(), abs=1e-12)
        assert found.delta[i].item() == pytest.approx((expected.sum() - span).item(), abs=1e-12)


@pytest.mark.parametrize("kind", QUADRATURES)
def test_captum_agrees_at_the_input(kind: str) -> None:
    model, x = net(), samples()
    found = explain(model, x, IntegratedGradients(20, kind), target=TARGETS, baseline=baseline()).values
    theirs = Captum(model).attribute(
        x, baseline(), target=TARGETS, n_steps=20, method=kind.replace("_", "", 1) if "gauss" in kind else kind
    )
    # Captum's trapezoid weights sum to 1 - 1/n; a mean of equal gradients would not be that gradient.
    theirs = theirs * 20 / 19 if kind == "riemann_trapezoid" else theirs
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-7)  # their weights are float32


def test_captum_agrees_at_layer_and_neuron() -> None:
    model, x = net(), samples()
    model.relu.inplace = False  # Captum's layer variants fail before a layer that works in place
    method = IntegratedGradients(20)
    found = explain(model, x, method, WORLDS["output"].place, TARGETS, baseline=baseline()).values
    theirs = LayerIntegratedGradients(model, model.conv2).attribute(
        x, baseline(), target=TARGETS, n_steps=20, method="gausslegendre"
    )
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-7)
    found = explain(model, x, method, WORLDS["layer_input"].place, TARGETS, baseline=baseline()).values
    theirs = LayerIntegratedGradients(model, model.head).attribute(
        x, baseline(), target=TARGETS, n_steps=20, attribute_to_layer_input=True
    )
    theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-7)
    found = explain(model, x, method, WORLDS["neuron"].place, baseline=baseline()).values
    theirs = NeuronIntegratedGradients(model, model.conv2).attribute(x, UNIT, baseline(), n_steps=20)
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", QUADRATURES)
@pytest.mark.parametrize("n", [2, 3, 10, 50])
def test_weights_sum_to_one(kind: str, n: int) -> None:
    nodes, weights = quadrature(kind, n)
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    assert len(nodes) == len(weights) == n
    assert 0 <= nodes.min() < nodes.max() <= 1


def test_gauss_legendre_is_exact_for_polynomials_and_better_than_riemann() -> None:
    nodes, weights = quadrature("gauss_legendre", 4)
    for power in range(8):
        assert weights @ nodes**power == pytest.approx(1 / (power + 1), abs=1e-14)
    case = BY_NAME["mlp"]
    gaps = {
        kind: explain(case.model(), case.inputs(), IntegratedGradients(8, kind)).delta.abs().max()
        for kind in QUADRATURES
    }
    assert gaps.pop("gauss_legendre") < min(gaps.values()) / 1000


def test_the_delta_falls_with_the_steps() -> None:
    model, x = net(), samples()
    gaps = [
        explain(model, x, IntegratedGradients(n, "riemann_middle"), target=TARGETS).delta.abs().mean()
        for n in (4, 32, 256)
    ]
    assert gaps[0] > 4 * gaps[1] > 16 * gaps[2] > 0


def test_without_the_factor_it_is_the_mean_gradient() -> None:
    model, x = net(), samples()
    mean = explain(model, x, IntegratedGradients(8, multiply_by_inputs=False), target=TARGETS, baseline=baseline())
    product = explain(model, x, IntegratedGradients(8), target=TARGETS, baseline=baseline())
    torch.testing.assert_close((x - baseline()) * mean.values, product.values, rtol=0, atol=1e-14)
    assert mean.delta is None
    assert product.delta is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_steps": 0}, "n_steps must be at least 1 for gauss_legendre, got 0"),
        ({"n_steps": 1, "quadrature": "riemann_trapezoid"}, "n_steps must be at least 2 for riemann_trapezoid"),
        ({"tolerance": 0.0}, r"tolerance must be more than 0, and n_steps at least 2 with it; got 0\.0, 32"),
        ({"tolerance": 0.1, "n_steps": 1}, "n_steps at least 2 with it; got 0.1, 1"),
        ({"quadrature": "gauss"}, "No quadrature 'gauss'. Did you mean 'gauss_legendre'"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IntegratedGradients(**arguments)


def even(n: int) -> dict[float, float]:
    """n points at even distances, a third of a distance from one end: weights by node.

    All alike, but for the two at either end. Between two ends the middles of cells are off by the difference of slopes
    there / (24 n^2); a first cell of 5/6 whose point is 1/12 in front of its middle by 5/72 of a slope, a last one of
    7/6, 7/72: together 2/72 of the slope at the near end and 10/72 of that at the far one, which are read from two
    points.
    """
    if n == 1:
        return {1 / 3: 1.0}
    nodes = [(i + 1 / 3) / n for i in range(n)]
    weights = [1.0] * n
    weights[0] += 5 / 6 - 1 - 2 / 72
    weights[1] += 2 / 72
    weights[-2] -= 10 / 72
    weights[-1] += 7 / 6 - 1 + 10 / 72
    flip = math.log2(n) % 2
    return {1 - node if flip else node: weight / n for node, weight in zip(nodes, weights, strict=True)}


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_even_points_are_right_for_straight_lines_and_nearly_for_curves(n: int) -> None:
    rule = even(n)
    assert sum(rule.values()) == pytest.approx(1)
    assert sum(weight * node for node, weight in rule.items()) == pytest.approx(1 / 2)
    assert sum(weight * math.exp(node) for node, weight in rule.items()) == pytest.approx(math.e - 1, abs=0.5 / n**3)


@pytest.mark.parametrize("where", WORLDS)
@pytest.mark.parametrize("tolerance", [0.3, 0.02, 1e-12])
def test_with_a_tolerance_every_sample_gets_the_steps_that_it_needs(where: str, tolerance: float) -> None:
    model, x, world = net(), samples(), WORLDS[where]
    method = IntegratedGradients(16, tolerance=tolerance)
    found = explain(model, x, method, world.place, TARGETS, baseline=baseline())
    for i, target in enumerate(TARGETS.tolist()):
        z, z0 = world.variable(model, x[i]).detach(), world.variable(model, baseline()[0]).detach()
        span = world.score(model, z, target).item() - world.score(model, z0, target).item()
        coarse = None
        for n in (1, 2, 4, 8, 16):
            fine = (z - z0) * sum(w * gradient(world, model, z0 + a * (z - z0), target) for a, w in even(n).items())
            error = math.inf if coarse is None else ((fine - coarse).norm() / math.sqrt(3)).item()
            if abs(fine.sum().item() - span) <= tolerance * abs(span) and error <= tolerance * fine.norm().item():
                break
            coarse = fine
        assert (found.values[i] - fine).abs().max() < 1e-12
    if tolerance == 0.3:
        assert (found.delta.abs() <= tolerance * found.span.abs()).all()


class Kinked(nn.Module):
    """The first feature's score is linear, the second's has a kink at a place that no rule hits."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] + 3 * (x[:, 1:] - 0.31).relu()


def test_rows_go_to_the_samples_that_need_them() -> None:
    x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    seen: list[int] = []
    model = nn.Sequential(Kinked())
    model.register_forward_hook(lambda _m, args, _out: seen.append(len(args[0])))
    found = explain(model, x, IntegratedGradients(64, tolerance=1e-2), target=0)
    assert found.delta[:2].abs().max() < 1e-12
    assert found.delta[2].abs() <= 1e-2 * found.span[2].abs()
    # Outputs and the score at the baseline; two points for all; the rest for one.
    assert 3 * 2 + 3 * 2 < sum(seen) <= 3 * 2 + 3 * 2 + 62
    few = explain(model, x[:2], IntegratedGradients(64, tolerance=1e-2), target=0)
    assert torch.equal(few.values, found.values[:2])


def test_as_complete_as_captum_with_fewer_rows() -> None:
    case = BY_NAME["cnn"]
    model, x = case.model(), torch.randn(16, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target = model(x).argmax(dim=1)
    model.relu1.inplace = model.relu2.inplace = False
    _, delta = Captum(model).attribute(x, target=target, n_steps=50, return_convergence_delta=True)
    span = explain(model, x, IntegratedGradients(2), target=target).span
    tolerance = (delta.abs() / span.abs()).mean().item()
    seen: list[int] = []
    model.register_forward_hook(lambda _m, args, _out: seen.append(len(args[0])))
    found = explain(model, x, IntegratedGradients(64, tolerance=tolerance), target=target)
    assert (found.delta.abs() / span.abs()).mean() <= tolerance
    assert sum(seen) < 16 * 50


def test_one_number_a_sample() -> None:
    class Bump(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.exp(-((x - 1) ** 2))

    x = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
    found = explain(Bump(), x, IntegratedGradients(256, tolerance=1e-3), target="output")
    expected = torch.exp(-((x - 1) ** 2)) - torch.exp(torch.tensor(-1.0, dtype=torch.float64))
    # The second's score ends where it began: no delta is within a share of nothing, and it gets all the steps.
    torch.testing.assert_close(found.values, expected, rtol=2e-3, atol=1e-5)
