import inspect

import captum.attr
import pytest
import torch
from torch import Tensor, nn

from lightning_explain.attribution import methods
from lightning_explain.captum import attr
from lightning_explain.captum.ask import Ask
from lightning_explain.captum.attr.attribution import InternalAttribution, answered, published
from lightning_explain.captum.errors import ArgumentError

X = torch.linspace(-1, 1, 12).reshape(4, 3)


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).eval()


class Own(attr.GradientAttribution):
    """A method that a user writes."""

    @answered
    def attribute(self, inputs: Tensor, target: int | None = None) -> Ask:
        return Ask(methods.InputXGradient(), inputs, target=target)


class Both(attr.Attribution):
    """Asks two things."""

    @answered
    def attribute(self, inputs: Tensor, target: int | None = None) -> list[Ask]:
        return [Ask(method, inputs, target=target) for method in (methods.Saliency(), methods.InputXGradient())]


def test_what_is_asked_is_answered() -> None:
    found = Own(small()).attribute(X, target=1)
    torch.testing.assert_close(found, attr.InputXGradient(small()).attribute(X, target=1))
    saliency, product = Both(small()).attribute(X, target=1)
    torch.testing.assert_close(saliency, attr.Saliency(small()).attribute(X, target=1))
    assert torch.equal(product, found)


def test_the_question_can_be_had_without_the_answer() -> None:
    def fails(_: Tensor) -> Tensor:
        raise AssertionError

    ask = Own(fails).asked(X, target=1)
    assert (ask.method, ask.target) == (methods.InputXGradient(), 1)
    assert ask.inputs is X


def test_answered_methods_look_like_what_was_written() -> None:
    assert list(inspect.signature(Own.attribute).parameters) == ["self", "inputs", "target"]
    assert inspect.signature(Own.attribute.__wrapped__) == inspect.signature(Own.attribute)
    assert "target: Which output is explained" in Own.attribute.__doc__
    # Captum's own wrappers call what is wrapped, with the object.
    assert torch.equal(Own.attribute.__wrapped__(Own(small()), X, 1), Own(small()).attribute(X, 1))


def test_a_docstring_of_its_own_is_kept() -> None:
    def attribute(self: object, inputs: Tensor) -> Tensor:
        """Just this."""
        return inputs

    assert published(attribute).__doc__ == "Just this."
    attribute.__doc__ = None
    assert "inputs: A tensor (n, ...)" in published(attribute).__doc__


def test_what_a_base_does_not_have() -> None:
    method = attr.Attribution(small())
    assert not method.multiplies_by_inputs
    assert not method.has_convergence_delta()
    with pytest.raises(NotImplementedError, match="attribute_future is not there for Attribution; use attribute"):
        method.attribute_future(X)
    with pytest.raises(NotImplementedError, match="There is no convergence delta for Attribution"):
        method.compute_convergence_delta(X)


@pytest.mark.parametrize("name", ["Attribution", "LRP", "NoiseTunnel", "IntegratedGradients", "LayerGradCam"])
def test_names_in_words_are_captums(name: str) -> None:
    ours, theirs = getattr(attr, name), getattr(captum.attr, name)
    assert ours.get_name().replace(" ", "") == theirs.get_name().replace(" ", "") == name
    assert ours.get_name() == theirs.get_name()


@pytest.mark.parametrize("start", [None, 0.5, X[:1] * 2, X.flip(0)], ids=["0", "number", "one", "each"])
@pytest.mark.parametrize("target", [1, [0, 1, 1, 0]], ids=str)
def test_the_delta_is_captums(start: object, target: object) -> None:
    torch.manual_seed(1)
    given = torch.randn(4, 3)
    ours, theirs = (
        package.IntegratedGradients(small()).compute_convergence_delta(given, start, X, target)
        for package in (attr, captum.attr)
    )
    torch.testing.assert_close(ours, theirs)
    assert not ours.requires_grad


def test_the_delta_runs_a_model_in_evaluation_mode_and_leaves_the_inputs() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(0.5)).train()
    given = X.clone()
    found = Own(model).compute_convergence_delta(given, 0, given, 2)
    torch.testing.assert_close(found, X.sum(dim=1) - X[:, 2].relu())
    assert torch.equal(given, X)
    assert model.training


def test_the_delta_of_other_samples() -> None:
    with pytest.raises(ArgumentError, match=r"Expected attributions of 4 samples, got \[3\]"):
        Own(small()).compute_convergence_delta(X[:3], 0, X, 1)


def test_perturbations_contribute_and_name_their_bar() -> None:
    method = attr.FeatureAblation(small())
    assert method.multiplies_by_inputs
    assert method.bar_title(show_progress=True) == "Feature Ablation attribution"
    assert not method.bar_title(show_progress=False)


def test_methods_at_a_layer_hold_it() -> None:
    model = small()
    method = InternalAttribution(model, model[0], [0])
    assert (method.forward_func, method.layer, method.device_ids) == (model, model[0], [0])
    assert issubclass(attr.LayerAttribution, InternalAttribution)
    assert issubclass(attr.NeuronAttribution, InternalAttribution)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_maps_are_upsampled_as_by_captum(mode: str) -> None:
    small_map = torch.arange(8.0).reshape(1, 2, 2, 2)
    ours, theirs = (package.LayerAttribution.interpolate(small_map, (4, 6), mode) for package in (attr, captum.attr))
    assert torch.equal(ours, theirs)
