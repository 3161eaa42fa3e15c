import pytest
import torch
from captum.attr import LayerConductance, NeuronConductance
from cases import BY_NAME
from torch import Tensor, nn
from worlds import TARGETS, UNIT, WORLDS, World, baseline, gradient, net, samples

from lightning_explain import Conductance, Input, IntegratedGradients, Layer, Neuron, explain


def integral(world: World, model: nn.Module, x: Tensor, target: int, points: int = 400) -> Tensor:
    """dS/dz * dz/dalpha, by forward-mode derivatives, at the middle of many small steps."""
    x0, total = baseline()[0], 0.0
    for k in range(points):
        alpha = torch.tensor((k + 0.5) / points, dtype=x.dtype)
        z, rate = torch.func.jvp(
            lambda a: world.variable(model, x0 + a * (x - x0)), (alpha,), (torch.ones_like(alpha),)
        )
        total = total + gradient(world, model, z, target) * rate.detach() / points
    return total


@pytest.mark.parametrize("where", ["input", "output", "layer_input"])
def test_it_is_the_integral_of_the_flow(where: str) -> None:
    model, x, world = net(), samples(), WORLDS[where]
    found = explain(model, x, Conductance(400), world.place, TARGETS, baseline=baseline(), max_rows=70)
    for i, target in enumerate(TARGETS.tolist()):
        expected = integral(world, model, x[i], target)
        torch.testing.assert_close(found.values[i], expected, rtol=0, atol=5e-3 * expected.abs().max().item())
        ends = [world.score(model, world.variable(model, end), target).item() for end in (x[i], baseline()[0])]
        assert found.span[i].item() == pytest.approx(ends[0] - ends[1], abs=1e-12)
    assert (found.delta / found.span).abs().max() < 2e-3


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_it_is_mean_gradient_times_difference_between_neighbors(steps: int) -> None:
    model, x, world = net(), samples(), WORLDS["output"]
    for max_rows in (1, 4, 100):
        found = explain(
            model, x, Conductance(steps), world.place, TARGETS, baseline=baseline(), max_rows=max_rows
        ).values
        for i, target in enumerate(TARGETS.tolist()):
            nodes = [0, *((2 * k + 1) / (2 * steps) for k in range(steps)), 1]
            line = [baseline()[0] + node * (x[i] - baseline()[0]) for node in nodes]
            z = [world.variable(model, point).detach() for point in line]
            g = [gradient(world, model, point, target) for point in z]
            expected = sum((g[k] + g[k + 1]) / 2 * (z[k + 1] - z[k]) for k in range(steps + 1))
            torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-12)


def test_where_the_score_is_linear_in_the_layer_one_step_is_exact() -> None:
    model, x = net(), samples()
    found = explain(model, x, Conductance(1), Layer("head", of="input"), TARGETS, baseline=baseline())
    assert found.delta.abs().max() < 1e-12
    many = explain(model, x, Conductance(50), Layer("head", of="input"), TARGETS, baseline=baseline())
    torch.testing.assert_close(found.values, many.values, rtol=0, atol=1e-12)


def test_a_kink_between_two_steps_is_seen_from_both_sides() -> None:
    """relu(x - 2) from 0 to 10: with 10 steps the kink is where the third begins."""

    class Kinked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.same = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return (self.same(x) - 2).relu().sum(dim=1)

    x = torch.full((2, 1), 10.0, dtype=torch.float64)
    found = explain(Kinked(), x, Conductance(10), Layer("same"), "output")
    torch.testing.assert_close(found.values, torch.full_like(x, 8.0), rtol=0, atol=1e-12)


def test_captum_agrees_in_the_limit() -> None:
    """Captum takes the gradient at the left end of each step, and leaves the two ends of the line out."""
    model, x = net(), samples()
    model.relu.inplace = False
    theirs = LayerConductance(model, model.conv2).attribute(
        x, baseline(), target=TARGETS, n_steps=800, method="riemann_left"
    )
    found = explain(model, x, Conductance(400), Layer("conv2"), TARGETS, baseline=baseline()).values
    torch.testing.assert_close(found, theirs.detach(), rtol=0, atol=5e-3 * found.abs().max().item())


def test_captum_agrees_at_a_neuron() -> None:
    model, x = net(), samples()
    found = explain(model, x, Conductance(20), Neuron("conv2", UNIT), TARGETS, baseline=baseline()).values
    theirs = NeuronConductance(model, model.conv2).attribute(
        x, UNIT, baseline(), target=TARGETS, n_steps=20, method="gausslegendre"
    )
    torch.testing.assert_close(found, theirs.detach(), rtol=0, atol=1e-7)  # their weights are float32
    assert found.abs().max() > 0


def test_the_units_of_a_layer_share_what_flows_from_the_inputs() -> None:
    """Summed over the inputs, the conductance of a neuron is its share of the layer's."""
    case = BY_NAME["mlp"]
    model, x = case.model(), case.inputs()
    layer = explain(model, x, Conductance(200), Layer("hidden"), 1).values
    for unit in range(3):
        through = explain(model, x, Conductance(30), Neuron("hidden", unit), 1)
        torch.testing.assert_close(through.values.sum(dim=1), layer[:, unit], rtol=0, atol=1e-4)
        assert through.delta is None
    every = explain(model, x, Conductance(30), Neuron("hidden", slice(None)), 1).values
    torch.testing.assert_close(every, explain(model, x, IntegratedGradients(30), Input(), 1).values, rtol=0, atol=1e-12)
    chosen = explain(model, x, Conductance(30), Neuron("hidden", lambda out: out[:, 2]), 1).values
    torch.testing.assert_close(chosen, explain(model, x, Conductance(30), Neuron("hidden", 2), 1).values)


def test_a_skip_connection_carries_its_own_share() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x + self.block(x).tanh())

    torch.manual_seed(0)
    model, x = Skip().double(), torch.randn(3, 4, dtype=torch.float64)
    layer = explain(model, x, Conductance(100), Layer("block"), 1)
    past = x @ model.head.weight[1].detach()
    torch.testing.assert_close(-layer.delta, past, rtol=0, atol=1e-4)
    neuron = explain(model, x, Conductance(50), Neuron("block", slice(None)), 1).values
    torch.testing.assert_close(neuron.sum(dim=1), layer.values.sum(dim=1), rtol=0, atol=1e-4)


def test_rows() -> None:
    model, x = net(), samples()
    seen: list[int] = []
    model.conv1.register_forward_hook(lambda _m, _args, out: seen.append(len(out)))
    explain(model, x, Conductance(10), Layer("conv2"), TARGETS)
    assert sum(seen) == 3 * (12 + 2)  # the outputs and what the layer holds; the score at the baseline
    seen.clear()
    explain(model, x, Conductance(10), Neuron("conv2", UNIT), TARGETS)
    assert sum(seen) == 3 * (10 + 1)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="n_steps must be at least 1, got 0"):
        Conductance(0)
    with pytest.raises(ValueError, match="No quadrature 'simpson'"):
        Conductance(quadrature="simpson")
    with pytest.raises(ValueError, match="The conductance of a neuron cannot be trained on"):
        explain(net(), samples(), Conductance(2), Neuron("conv2", UNIT), TARGETS, create_graph=True)


@pytest.mark.parametrize("rule", ["riemann_left", "riemann_trapezoid"])
def test_at_a_neuron_the_rule_can_be_chosen(rule: str) -> None:
    model, x = net(), samples()
    place = Neuron("conv2", UNIT)
    found = explain(model, x, Conductance(6, rule), place, TARGETS, baseline=baseline()).values
    without = explain(model, x, Conductance(6, rule, multiply_by_inputs=False), place, TARGETS, baseline=baseline())
    torch.testing.assert_close(found, without.values * (x - baseline()), rtol=0, atol=1e-12)
    theirs = NeuronConductance(model, model.conv2).attribute(
        x, UNIT, baseline(), target=TARGETS, n_steps=6, method=rule
    )
    factor = 6 / 5 if rule == "riemann_trapezoid" else 1  # their weights add up to 5 / 6
    torch.testing.assert_close(found, theirs.detach() * factor, rtol=0, atol=1e-7)
