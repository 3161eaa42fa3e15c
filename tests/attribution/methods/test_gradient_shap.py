import pytest
import torch
from captum.attr import GradientShap as Captum
from captum.attr import LayerGradientShap, NeuronGradientShap
from cases import BY_NAME
from torch import Tensor
from worlds import TARGETS, UNIT, WORLDS, baseline, gradient, net, samples

from lightning_explain import ExpectedGradients, GradientShap, Input, IntegratedGradients, Layer, Neuron, explain


def background(count: int) -> Tensor:
    return torch.randn(count, 2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("where", WORLDS)
def test_it_is_the_mean_over_draws(where: str) -> None:
    model, x, world, known = net(), samples(), WORLDS[where], background(3)
    method = GradientShap(5, baselines=known)
    alphas, chosen = method._draws(1)[0], method._draws(3)[1]
    found = explain(model, x, method, world.place, TARGETS, max_rows=4)
    for i, target in enumerate(TARGETS.tolist()):
        z = world.variable(model, x[i]).detach()
        expected, start = torch.zeros_like(z), 0.0
        for alpha, which in zip(alphas.tolist(), chosen.tolist(), strict=True):
            base = world.variable(model, known[which]).detach()
            expected += (z - base) * gradient(world, model, base + alpha * (z - base), target) / 5
            start += world.score(model, base, target).item() / 5
        torch.testing.assert_close(found.values[i], expected, rtol=0, atol=1e-12)
        assert found.span[i].item() == pytest.approx(world.score(model, z, target).item() - start, abs=1e-12)


def test_the_draws_are_uniform_and_use_every_baseline_equally() -> None:
    alphas, chosen = GradientShap(100)._draws(25)
    assert torch.equal((alphas * 100).floor().sort().values, torch.arange(100, dtype=torch.float64))
    assert torch.equal(chosen.bincount(), torch.full((25,), 4))
    assert not torch.equal(alphas, alphas.sort().values)
    other = GradientShap(100, seed=1)._draws(25)
    assert not torch.equal(other[0], alphas)
    assert not torch.equal(other[1], chosen)
    many = torch.stack([GradientShap(4, seed=seed)._draws(1)[0] for seed in range(2000)])
    torch.testing.assert_close(many.mean(dim=0), torch.full((4,), 0.5, dtype=torch.float64), rtol=0, atol=0.03)
    torch.testing.assert_close(many.var(dim=0), torch.full((4,), 1 / 12, dtype=torch.float64), rtol=0, atol=0.01)


def test_captum_agrees_in_expectation() -> None:
    model, x, known = net(), samples(), background(4)
    model.relu.inplace = False
    torch.manual_seed(0)
    places = (
        (Input(), Captum(model), {"target": TARGETS}, ()),
        (Layer("conv2"), LayerGradientShap(model, model.conv2), {"target": TARGETS}, ()),
        (Neuron("conv2", UNIT), NeuronGradientShap(model, model.conv2), {}, (UNIT,)),
    )
    for place, theirs, target, unit in places:
        found = explain(model, x, GradientShap(2000, baselines=known), place, TARGETS).values
        expected = theirs.attribute(x, *unit, baselines=known, n_samples=10_000, **target).detach()
        assert (found - expected).norm() < 0.08 * expected.norm()


def test_without_a_distribution_it_comes_to_integrated_gradients() -> None:
    model, x = net(), samples()
    exact = explain(model, x, IntegratedGradients(200), target=TARGETS, baseline=baseline())
    found = explain(model, x, GradientShap(400), target=TARGETS, baseline=baseline())
    torch.testing.assert_close(found.values, exact.values, rtol=0, atol=0.02 * exact.values.abs().max().item())
    torch.testing.assert_close(found.span, exact.span)
    twin = explain(model, x, GradientShap(400, baselines=baseline()), target=TARGETS)
    torch.testing.assert_close(twin.values, found.values, rtol=0, atol=1e-12)


def test_for_a_linear_model_every_draw_says_the_same() -> None:
    model, x = torch.nn.Linear(4, 3).double(), torch.randn(5, 4, dtype=torch.float64)
    known = torch.randn(6, 4, dtype=torch.float64)
    found = explain(model, x, ExpectedGradients(6, baselines=known), target=1)
    torch.testing.assert_close(found.values, ((x - known.mean(dim=0)) * model.weight[1]).detach())
    assert found.delta.abs().max() < 1e-12


def test_the_delta_falls_with_the_draws() -> None:
    model, x, known = net(), samples(), background(8)
    gaps = [
        sum(
            explain(model, x, ExpectedGradients(n, baselines=known, seed=seed), target=TARGETS).delta.abs().mean()
            for seed in range(4)
        )
        for n in (8, 128, 1024)
    ]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] > 0


def test_noise_is_in_units_of_the_range_and_moves_the_layer_too() -> None:
    model, x = net(), samples()
    for place in (Input(), Layer("conv2")):
        clean, little, much = (
            explain(model, x, GradientShap(16, stdev), place, TARGETS, baseline=baseline()).values
            for stdev in (0.0, 1e-7, 0.3)
        )
        assert 0 < (little - clean).abs().max() < 1e-4 * clean.abs().max()
        assert (much - clean).abs().max() > 1e-2 * clean.abs().max()
    larger = explain(model, 10 * x, GradientShap(16, 0.3), target=TARGETS).values
    assert (larger - explain(model, 10 * x, GradientShap(16), target=TARGETS).values).abs().max() > 0.1


def test_several_inputs_and_dicts() -> None:
    case = BY_NAME["several"]
    known = tuple(leaf[:2] for leaf in case.inputs())
    found = explain(case.model(), case.inputs(), GradientShap(8, baselines=known), target=1)
    assert [leaf.shape for leaf in found.values] == [(4, 1, 5, 6), (4, 3)]
    words = BY_NAME["words"]
    known = {name: leaf[:3] for name, leaf in words.inputs().items()}
    found = explain(words.model(), words.inputs(), GradientShap(8, baselines=known), target=1)
    assert found.values["table"].abs().max() > 0


def test_rows() -> None:
    model, x = net(), samples()
    seen: list[int] = []
    model.conv1.register_forward_hook(lambda _m, _args, out: seen.append(len(out)))
    explain(model, x, GradientShap(10, baselines=background(4)), target=TARGETS)
    assert sum(seen) == 3 * (10 + 4 + 1)  # the score at each baseline; the outputs


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradientShap(0), "n_samples must be at least 1 for GradientShap, got 0"),
        (lambda: ExpectedGradients(0), "n_samples must be at least 1 for ExpectedGradients, got 0"),
        (lambda: GradientShap(stdev=-1), "stdev must not be negative, got -1"),
        (
            lambda: explain(net(), samples(), GradientShap(2, baselines=torch.zeros(3, 2, 5)), target=0),
            r"The baselines of input have shape \(3, 2, 5\); expected \(K, 2, 5, 4\)",
        ),
        (
            lambda: explain(net(), samples(), GradientShap(2, baselines=torch.zeros(0, 2, 5, 4)), target=0),
            r"The baselines of input have shape \(0, 2, 5, 4\); expected",
        ),
    ],
)
def test_what_cannot_be_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
