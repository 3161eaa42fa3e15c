import pickle
from dataclasses import replace

import pytest
import torch
from captum.attr import NoiseTunnel as CaptumTunnel
from captum.attr import Saliency as CaptumSaliency
from cases import BY_NAME
from torch import Tensor, nn
from worlds import TARGETS, WORLDS, gradient, net, samples

from lightning_explain import (
    Activation,
    AttentionRollout,
    Conductance,
    FeatureAblation,
    FeaturePermutation,
    GradCAM,
    InputXGradient,
    IntegratedGradients,
    Layer,
    Neuron,
    Saliency,
    SmoothGrad,
    SmoothGradSquared,
    VarGrad,
    explain,
)
from lightning_explain.attribution.background import in_turn
from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.methods import noise_tunnel
from lightning_explain.attribution.noise import gaussian
from lightning_explain.randomness import stream

COPIES = 5
TUNNELS = {"smoothgrad": SmoothGrad, "smoothgrad_sq": SmoothGradSquared, "vargrad": VarGrad}


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> Tensor:
    drawn = 0.4 * torch.randn(COPIES, *samples().shape, dtype=torch.float64)
    monkeypatch.setattr(noise_tunnel, "gaussian_for", lambda *_: lambda copy: (drawn[copy],))
    return drawn


def statistic(name: str, values: list[Tensor]) -> Tensor:
    mean = sum(values) / len(values)
    if name == "smoothgrad":
        return mean
    if name == "smoothgrad_sq":
        return sum(value * value for value in values) / len(values)
    return sum((value - mean) ** 2 for value in values) / len(values)


@pytest.mark.parametrize("where", WORLDS)
@pytest.mark.parametrize("name", TUNNELS)
@pytest.mark.parametrize("max_rows", [2, 100])
def test_it_is_the_statistic_over_noisy_inputs(name: str, where: str, max_rows: int, noise: Tensor) -> None:
    model, x, world = net(), samples(), WORLDS[where]
    found = explain(model, x, TUNNELS[name](n_samples=COPIES), world.place, TARGETS, max_rows=max_rows).values
    for i, target in enumerate(TARGETS.tolist()):
        gradients = [
            gradient(world, model, world.variable(model, x[i] + noise[copy, i]).detach(), target)
            for copy in range(COPIES)
        ]
        expected = statistic(name, gradients)
        assert where == "layer_input" or expected.abs().max() > 1e-6  # the head is linear
        torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", TUNNELS)
def test_captum_agrees(name: str, noise: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = net(), samples()
    found = explain(model, x, TUNNELS[name](n_samples=COPIES), target=TARGETS).values
    # Captum repeats every sample COPIES times in a row.
    in_their_order = noise.transpose(0, 1).reshape(-1, *x.shape[1:])
    monkeypatch.setattr(torch, "normal", lambda *_: in_their_order)
    theirs = CaptumTunnel(CaptumSaliency(model)).attribute(
        x.clone().requires_grad_(), nt_type=name, nt_samples=COPIES, target=TARGETS, abs=False
    )
    torch.testing.assert_close(found, theirs.detach(), rtol=0, atol=1e-12)


def test_any_method_can_be_inside(noise: Tensor) -> None:
    model, x = net(), samples()
    method = IntegratedGradients(6)
    found = explain(model, x, SmoothGrad(method, n_samples=COPIES), target=TARGETS, max_rows=7)
    expected = sum(explain(model, x + noise[copy], method, target=TARGETS).values for copy in range(COPIES)) / COPIES
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-12)
    assert found.delta is None


def test_the_variance_survives_a_large_mean() -> None:
    class Steep(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (1e4 * x + 0.5 * x.square()).sum(dim=1)

    x = torch.randn(3, 4)  # float32: 1e4 squared leaves 8 in the last place
    found = explain(Steep(), x, VarGrad(n_samples=64, stdev=0.5), target="output").values
    noisy = torch.stack([gaussian(x, 0.5, 0)(copy)[0] for copy in range(64)])
    torch.testing.assert_close(found, noisy.double().var(dim=0, correction=0).float(), rtol=0.02, atol=0)


def test_noise_is_in_units_of_the_range_of_each_sample() -> None:
    x = torch.randn(2, 1, 50, 50, dtype=torch.float64) * torch.tensor([1.0, 20.0], dtype=torch.float64).view(2, 1, 1, 1)
    drawn = torch.cat([gaussian(x, 0.15, 7)(copy)[0] for copy in range(4)], dim=1)
    spread = x.flatten(1).amax(dim=1) - x.flatten(1).amin(dim=1)
    torch.testing.assert_close(drawn.flatten(1).std(dim=1), 0.15 * spread, rtol=0.03, atol=0)
    assert (drawn.flatten(1).mean(dim=1) / spread).abs().max() < 0.01


def test_noise_depends_on_seed_and_copy_alone() -> None:
    x = samples()
    first = gaussian(x, 0.1, 0)
    state = torch.get_rng_state()
    assert torch.equal(first(3)[0], gaussian(x, 0.1, 0)(3)[0])
    assert not torch.equal(first(3)[0], first(2)[0])
    assert not torch.equal(first(3)[0], gaussian(x, 0.1, 1)(3)[0])
    assert torch.equal(state, torch.get_rng_state())
    model = net()
    attributions = [explain(model, x, SmoothGrad(n_samples=3, seed=seed), target=TARGETS).values for seed in (0, 0, 1)]
    assert torch.equal(attributions[0], attributions[1])
    assert not torch.allclose(attributions[0], attributions[2])


def test_a_sample_gets_the_same_noise_in_any_company() -> None:
    x = samples()
    together = gaussian(x, 0.1, 0)(1)[0]
    for i in range(len(x)):
        assert torch.equal(gaussian(x[i : i + 1], 0.1, 0)(1)[0], together[i : i + 1])


def test_integers_and_flags_get_no_noise() -> None:
    case = BY_NAME["words"]
    model = case.model()
    seen: list[dict[str, Tensor]] = []
    model.register_forward_pre_hook(lambda _m, _args, kwargs: seen.append(kwargs), with_kwargs=True)
    inputs = case.inputs()
    found = explain(model, inputs, SmoothGrad(n_samples=3), target=0, max_rows=100)
    assert found.names == ("table",)
    assert found.values["table"].abs().max() > 0
    for kwargs in seen:
        repeated = torch.arange(len(kwargs["ids"])) % 4
        assert torch.equal(kwargs["ids"], inputs["ids"][repeated])
        assert torch.equal(kwargs["keep"], inputs["keep"][repeated])
    assert any(not torch.equal(k["table"], inputs["table"][torch.arange(len(k["table"])) % 4]) for k in seen)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_noise_has_the_type_of_its_input(dtype: torch.dtype) -> None:
    model = nn.Linear(3, 2).to(dtype)
    found = explain(model, torch.randn(4, 3, dtype=dtype), "smoothgrad", target=1).values
    torch.testing.assert_close(found.float(), model.weight[1].detach().expand(4, 3).float(), rtol=0, atol=1e-6)


def test_one_number_per_sample_is_an_input_too() -> None:
    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.square()

    x = torch.tensor([1.0, -2.0, 3.0])
    for method in (SmoothGrad(n_samples=2), InputXGradient(), IntegratedGradients(4)):
        assert explain(Square(), x, method, target="output").values.shape == (3,)
    # The range of a single number is zero, and so is its noise.
    torch.testing.assert_close(explain(Square(), x, "smoothgrad", target="output").values, 2 * x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SmoothGrad(n_samples=0), "n_samples must be at least 1 for SmoothGrad, got 0"),
        (lambda: VarGrad(n_samples=1), "n_samples must be at least 2 for VarGrad, got 1"),
        (lambda: SmoothGrad(stdev=-0.1), "stdev must not be negative, got -0.1"),
    ],
)
def test_what_cannot_be_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_tunnels_speak_for_the_method_inside() -> None:
    assert not SmoothGrad().contributes
    assert SmoothGrad(InputXGradient()).contributes
    assert SmoothGrad(Saliency()).method.absolute
    assert not SmoothGrad().complete


def test_a_tunnel_is_what_its_method_is() -> None:
    assert SmoothGrad(Conductance()).through
    assert not SmoothGrad().through
    assert SmoothGrad(FeatureAblation()).per_feature
    assert not VarGrad(FeatureAblation()).per_feature
    assert not SmoothGrad(Activation()).about_score
    assert SmoothGrad(AttentionRollout()).needs_attention
    assert SmoothGrad(GradCAM()).coarse
    assert SmoothGrad(GradCAM()) != SmoothGrad()
    assert pickle.loads(pickle.dumps(SmoothGrad(GradCAM()))).coarse


def test_what_goes_through_a_neuron_is_about_the_target() -> None:
    model, x, neuron = net(), samples(), Neuron("conv1", (1, 2, 2))
    found = explain(model, x, SmoothGrad(Conductance(4), n_samples=2, stdev=0.0), neuron, TARGETS)
    torch.testing.assert_close(found.values, explain(model, x, Conductance(4), neuron, TARGETS).values)
    assert torch.equal(found.target[:, 0], TARGETS)


def test_features_keep_their_coefficients() -> None:
    model, x = net(), samples()
    mask = torch.zeros(1, 1, *x.shape[2:], dtype=torch.long)
    mask[..., 2:] = 1
    found = explain(model, x, SmoothGrad(FeatureAblation(), 3, 0.2), target=TARGETS, feature_mask=mask)
    assert found.coefficients.shape == (len(x), 2)
    torch.testing.assert_close(found.coefficients, found.values[:, 0, 0, [0, 2]])
    squares = explain(model, x, SmoothGradSquared(FeatureAblation(), 3, 0.2), target=TARGETS, feature_mask=mask)
    assert squares.coefficients is None


def test_a_baseline_is_drawn_for_each_copy(noise: Tensor) -> None:
    model, x = net(), samples()
    known = torch.randn(2, *x.shape[1:], dtype=torch.float64)
    for inner in (InputXGradient(), IntegratedGradients(3)):
        tunnel = SmoothGrad(inner, COPIES, baselines=known)
        found = explain(model, x, tunnel, target=TARGETS, max_rows=4).values
        drawn = in_turn(2, COPIES, stream("noise tunnel baselines", 0))
        expected = sum(
            explain(model, x + noise[copy], inner, target=TARGETS, baseline=known[drawn[copy]][None]).values
            for copy in range(COPIES)
        )
        torch.testing.assert_close(found, expected / COPIES, rtol=0, atol=1e-12)
    own = explain(model, x, SmoothGrad(IntegratedGradients(3), COPIES), target=TARGETS).values
    assert (own - found).abs().max() > 1e-3


# All copies in a chunk; three chunks, of which the first two look the baseline up: for the part, then for all samples.
# Two rows tell it each time, for it is the same for all.
@pytest.mark.parametrize(("max_rows", "looked_up"), [(100, 2), (4, 2 + 2)])
def test_the_baseline_at_a_layer_is_looked_up_for_few_rows(max_rows: int, looked_up: int) -> None:
    model, x = net(), samples()
    seen: list[int] = []
    model.conv1.register_forward_hook(lambda _m, _args, out: seen.append(len(out)))
    with borrowed(model):
        posed = replace(pose(model, x, 1, budget=RowBudget(max_rows)), place=Layer("conv2"))
        seen.clear()
        found = SmoothGrad(IntegratedGradients(2), 4)(posed)
        first, again = sum(seen), replace(posed)
        again.remember(z0=posed.z0)
        seen.clear()
        torch.testing.assert_close(SmoothGrad(IntegratedGradients(2), 4)(again), found, rtol=0, atol=1e-15)
    assert first - sum(seen) == looked_up


@pytest.mark.parametrize("max_rows", [2, 3, 100])
def test_samples_are_not_exchanged_with_copies_of_themselves(max_rows: int, noise: Tensor) -> None:
    model, x = net(), samples()
    found = explain(model, x, SmoothGrad(FeaturePermutation(), COPIES), target=TARGETS, max_rows=max_rows).values
    each = [explain(model, x + noise[copy], FeaturePermutation(), target=TARGETS).values for copy in range(COPIES)]
    torch.testing.assert_close(found, sum(each) / COPIES, rtol=0, atol=1e-12)
