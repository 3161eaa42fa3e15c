"""The noise tunnel around our methods at all places, and around those of others."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from captum import attr as captum
from drop_in.attr.primary import PRIMARY, TARGETS, Primary, known, net, samples
from torch import Tensor, nn

from lightning_explain.attribution import methods
from lightning_explain.attribution.background import in_turn
from lightning_explain.attribution.noise import gaussian
from lightning_explain.attribution.place import Layer, Neuron
from lightning_explain.captum.arguments import Tensors
from lightning_explain.captum.ask import Ask
from lightning_explain.captum.attr import (
    Attribution,
    GradientAttribution,
    IntegratedGradients,
    NoiseTunnel,
    Saliency,
)
from lightning_explain.captum.attr.attribution import answered
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError
from lightning_explain.randomness import stream

pytestmark = pytest.mark.filterwarnings("ignore:(Setting|Input Tensor|.*backward hook).*:UserWarning")

COPIES = 4
STATISTICS = {
    "smoothgrad": lambda v: v.mean(dim=0),
    "smoothgrad_sq": lambda v: (v**2).mean(dim=0),
    "vargrad": lambda v: v.var(dim=0, correction=0),
}


class Ablation(Attribution):
    """A method by perturbation; its model may give several numbers for a sample, or one for the batch."""

    @answered
    def attribute(self, inputs: Tensors, baselines: Any = None, target: Any = None, **kwargs: Any) -> Ask:
        return Ask(methods.FeatureAblation(), inputs, baselines, target, whole=True, **kwargs)


class AtLayers(GradientAttribution):
    """A question for each of two layers, as of a list of layers."""

    @answered
    def attribute(self, inputs: Tensors, target: Any = None) -> list[Ask]:  # type: ignore[override]
        ask = Ask(methods.InputXGradient(), inputs, target=target, form=lambda found: found.point[0])
        model = self.forward_func
        return [
            replace(ask, place=Layer("layer0", channel_dim=None), layers=(layer,))
            for layer in (model.conv1, model.conv2)
        ]


class AtNeuron(GradientAttribution):
    @answered
    def attribute(self, inputs: Tensors, **kwargs: Any) -> Ask:
        place = Neuron("layer0", kwargs["neuron_selector"], channel_dim=None)
        return Ask(methods.Saliency(), inputs, target=0, place=place, layers=(self.forward_func.conv2,))


class Foreign:
    """Another library's method: nothing but ``attribute``, and what Captum's tunnel asks of it."""

    multiplies_by_inputs = True

    def __init__(self, model: nn.Module) -> None:
        self.forward_func = model
        self.sizes: list[int] = []

    def has_convergence_delta(self) -> bool:
        return True

    def attribute(
        self,
        inputs: Tensors,
        baselines: Any = 0.0,
        target: Any = None,
        additional_forward_args: Any = None,
        feature_mask: Any = None,
        return_convergence_delta: bool = False,
    ) -> Any:
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        self.sizes.append(len(given[0]))
        (scale,) = additional_forward_args or (torch.ones(len(given[0])),)
        base = baselines if isinstance(baselines, tuple) else (baselines,) * len(given)
        mask = torch.ones(1) if feature_mask is None else feature_mask
        factor = torch.as_tensor(target).double() * scale * mask.reshape(len(mask), -1)[:, 0]
        found = tuple((x - b) * factor.reshape(-1, *[1] * (x.ndim - 1)) for x, b in zip(given, base, strict=True))
        delta = found[0].flatten(1).sum(dim=1)
        shaped = found if isinstance(inputs, tuple) else found[0]
        return (shaped, delta) if return_convergence_delta else shaped


def alone(name: str) -> Primary:
    # Of two stdevs the tunnel takes the one, as in Captum.
    primary = PRIMARY[name]
    return replace(primary, arguments={key: value for key, value in primary.arguments.items() if key != "stdevs"})


def noisy(x: Tensor, stdev: float) -> list[Tensor]:
    noise = gaussian(x, stdev, torch.initial_seed(), "absolute")
    return [x + noise(copy)[0] for copy in range(COPIES)]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(11)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("name", PRIMARY)
def test_around_every_method(name: str, statistic: str) -> None:
    primary, model = alone(name), net()
    torch.manual_seed(11)
    each = [primary.attribute(model, x, target=TARGETS) for x in noisy(samples(), 0.3)]
    found = NoiseTunnel(primary.make(model)).attribute(
        samples(), statistic, COPIES, stdevs=0.3, target=TARGETS, **primary.arguments
    )
    torch.testing.assert_close(found, STATISTICS[statistic](torch.stack(each)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, primary in PRIMARY.items() if primary.has_delta])
def test_deltas_of_the_copies_of_a_sample_stand_together(name: str) -> None:
    primary, model = alone(name), net()
    given = {"target": TARGETS, "return_convergence_delta": True}
    torch.manual_seed(11)
    each = [primary.attribute(model, x, **given)[1].reshape(3, -1) for x in noisy(samples(), 0.3)]
    tunnel = NoiseTunnel(primary.make(model))
    assert tunnel.has_convergence_delta()
    found, delta = tunnel.attribute(samples(), nt_samples=COPIES, stdevs=0.3, **given, **primary.arguments)
    torch.testing.assert_close(delta, torch.cat(each, dim=1).flatten(), rtol=1e-6, atol=1e-12)
    plain = tunnel.attribute(samples(), nt_samples=COPIES, stdevs=0.3, target=TARGETS, **primary.arguments)
    torch.testing.assert_close(found, plain)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_captum_agrees_in_distribution(statistic: str) -> None:
    model, x = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2)), torch.randn(3, 5)
    given = {"nt_type": statistic, "nt_samples": 600, "stdevs": 0.5, "target": 1}
    found = NoiseTunnel(Saliency(model)).attribute(x, abs=False, **given)
    theirs = captum.NoiseTunnel(captum.Saliency(model)).attribute(x, abs=False, **given)
    torch.testing.assert_close(found, theirs.detach(), rtol=0.25, atol=0.03 * theirs.abs().max().item())


def test_around_layers_and_neurons() -> None:
    model = net()
    torch.manual_seed(11)
    each = [AtLayers(model).attribute(x, target=1) for x in noisy(samples(), 0.3)]
    found = NoiseTunnel(AtLayers(model)).attribute(samples(), nt_samples=COPIES, stdevs=0.3, target=1)
    for number in range(2):
        torch.testing.assert_close(found[number], sum(one[number] for one in each) / COPIES)
    each = [AtNeuron(model).attribute(x, neuron_selector=(0, 1, 2)) for x in noisy(samples(), 0.3)]
    smooth = NoiseTunnel(AtNeuron(model)).attribute(samples(), nt_samples=COPIES, stdevs=0.3, neuron_selector=(0, 1, 2))
    torch.testing.assert_close(smooth, sum(each) / COPIES)
    assert smooth.abs().max() > 0


def test_around_a_method_by_perturbation() -> None:
    model, mask = net(), torch.arange(36).reshape(1, 1, 6, 6) // 9
    torch.manual_seed(11)
    given = {"target": 1, "feature_mask": mask, "baselines": known(1)}
    each = [Ablation(model).attribute(x, **given) for x in noisy(samples(), 0.3)]
    found = NoiseTunnel(Ablation(model)).attribute(samples(), nt_samples=COPIES, stdevs=0.3, **given)
    torch.testing.assert_close(found, sum(each) / COPIES)
    whole = NoiseTunnel(Ablation(lambda x: model(x).sum())).attribute(samples(), nt_samples=2, stdevs=0.0)
    torch.testing.assert_close(whole, Ablation(lambda x: model(x).sum()).attribute(samples()))


def test_around_itself() -> None:
    model = net()
    inner = NoiseTunnel(Saliency(model))
    outer = NoiseTunnel(inner).attribute(samples(), nt_samples=2, stdevs=0.1, target=1)
    assert outer.shape == samples().shape
    assert outer.isfinite().all()


@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_chunks_change_nothing(size: int) -> None:
    rows: list[int] = []
    model = net()

    def counted(x: Tensor) -> Tensor:
        rows.append(len(x))
        return model(x)

    given = {"nt_samples": COPIES, "stdevs": 0.3, "target": TARGETS, "return_convergence_delta": True}
    found = NoiseTunnel(IntegratedGradients(counted)).attribute(samples(), nt_samples_batch_size=size, **given)
    whole = NoiseTunnel(IntegratedGradients(counted)).attribute(samples(), **given)
    assert max(rows[: len(rows) // 2]) <= max(3 * size, 3)
    for a, b in zip(found, whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["ours", "foreign"])
def test_baselines_from_a_distribution(method: str) -> None:
    def linear(x: Tensor) -> Tensor:
        return (x * 2).flatten(1).sum(dim=1)

    made = IntegratedGradients(linear) if method == "ours" else Foreign(linear)
    extra = {} if method == "ours" else {"target": 2.0}
    drawn = in_turn(4, 8, stream("noise tunnel baselines", torch.initial_seed()))
    given = {"baselines": known(), "draw_baseline_from_distrib": True, "nt_samples": 8, "stdevs": 0.0}
    found = NoiseTunnel(made).attribute(samples(), **given, **extra)
    torch.testing.assert_close(found, 2 * (samples() - known()[drawn].mean(dim=0)), rtol=1e-6, atol=1e-9)
    number = NoiseTunnel(made).attribute(samples(), **(given | {"baselines": 0.5}), **extra)
    torch.testing.assert_close(number, 2 * (samples() - 0.5), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("size", [None, 1, 3])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_around_a_foreign_method(statistic: str, size: int | None) -> None:
    model, target = net(), [2.0, 3.0, 5.0]
    scale = torch.tensor([1.0, 10.0, 100.0])
    method = Foreign(model)
    given = {"baselines": known(3), "additional_forward_args": (scale,), "feature_mask": torch.arange(3.0)[:, None]}
    found, delta = NoiseTunnel(method).attribute(
        samples(),
        statistic,
        COPIES,
        size,
        0.3,
        target=target,
        return_convergence_delta=True,
        **given,
    )
    factor = (torch.tensor(target) * scale * torch.arange(3)).double().view(3, 1, 1, 1)
    each = torch.stack([(x - known(3)) * factor for x in noisy(samples(), 0.3)])
    torch.testing.assert_close(found, STATISTICS[statistic](each), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(delta, each.flatten(2).sum(dim=2).T.flatten(), rtol=1e-9, atol=1e-9)
    assert method.sizes == ([12] if size is None else [3] * 4 if size == 1 else [9, 3])


def test_around_captums_own_methods() -> None:
    model = net()
    for make in (captum.Saliency, captum.IntegratedGradients, captum.DeepLift):
        mine = {captum.Saliency: Saliency, captum.IntegratedGradients: IntegratedGradients}.get(make)
        given = {"nt_samples": COPIES, "stdevs": 0.3, "target": TARGETS}
        found = NoiseTunnel(make(model)).attribute(samples(), **given)
        assert not found.requires_grad
        if mine is not None:
            torch.testing.assert_close(found, NoiseTunnel(mine(model)).attribute(samples(), **given), rtol=0, atol=1e-9)
    (found,) = NoiseTunnel(captum.Saliency(model)).attribute((samples(),), **given)
    assert found.shape == samples().shape


def test_captums_own_tunnel_goes_around_ours() -> None:
    model = net()
    found = captum.NoiseTunnel(IntegratedGradients(model)).attribute(samples(), nt_samples=2, stdevs=0.0, target=1)
    torch.testing.assert_close(found, IntegratedGradients(model).attribute(samples(), target=1))


def test_what_it_says_of_itself() -> None:
    tunnel = NoiseTunnel(Saliency(net()))
    assert not tunnel.has_convergence_delta()
    assert not tunnel.multiplies_by_inputs
    assert tunnel.is_gradient_method
    assert not tunnel.is_delta_supported
    assert NoiseTunnel(IntegratedGradients(net())).multiplies_by_inputs
    assert not NoiseTunnel(Ablation(net())).is_gradient_method
    assert "    nt_type: " in NoiseTunnel.attribute.__doc__
    assert NoiseTunnel.attribute.__wrapped__


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"nt_type": "smoothgard"}, ArgumentError, r"No nt_type 'smoothgard'\. Did you mean 'smoothgrad'"),
        ({"nt_samples": 0}, ArgumentError, "must be at least 1, got 0, None"),
        ({"nt_samples_batch_size": 0}, ArgumentError, "must be at least 1, got 5, 0"),
        ({"stdevs": (0.1, 0.2)}, ArgumentError, r"one of stdevs for each of 1 input\(s\), got 2"),
        ({"stdevs": [0.1]}, ArgumentTypeError, "stdevs is a number, or a tuple .* got list"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        NoiseTunnel(Saliency(net())).attribute(samples(), target=1, **given)
