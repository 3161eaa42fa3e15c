"""``gradient_func``: what users may put in the place of the gradient, held against Captum."""

import captum.attr
import pytest
import torch
from captum._utils.gradient import compute_gradients as theirs
from torch import Tensor, nn

from lightning_explain.captum import attr
from lightning_explain.captum._utils.gradient import compute_gradients
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError

pytestmark = pytest.mark.filterwarnings("ignore:Input Tensor . did not already require gradients")

X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.rand(5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head = nn.Linear(5, 6), nn.Linear(6, 3)
        self.double().eval()

    def forward(self, x: Tensor, y: Tensor, scale: Tensor | float = 1.0) -> Tensor:
        return self.head(torch.tanh(self.first(torch.cat([x, y], dim=1)))) * scale


def both(name: str, functions: tuple[object, object], model: object, **call: object) -> tuple[object, object]:
    found = []
    for package, function in zip((attr, captum.attr), functions, strict=True):
        method = getattr(package, name)(model)
        method.gradient_func = function
        found.append(method.attribute(**call))
    return tuple(found)


def squared(forward_fn: object, inputs: object, target_ind: object = None, additional_forward_args: object = None):
    """Depends on every argument, and is no gradient of anything."""
    found = theirs(forward_fn, inputs, target_ind, additional_forward_args)
    return tuple(gradient.square() * leaf.detach().sign() for gradient, leaf in zip(found, inputs, strict=True))


@pytest.mark.parametrize("target", [1, (2,), [0, 1, 2, 1, 0], torch.tensor([0, 1, 2, 1, 0]), [(0,), (1,)] * 2 + [(2,)]])
@pytest.mark.parametrize("scale", [None, 2.0, (torch.arange(1.0, 6.0, dtype=torch.float64)[:, None],)], ids=str)
def test_the_gradient_as_in_captum(target: object, scale: object) -> None:
    inputs = tuple(leaf.clone().requires_grad_() for leaf in (X, Y))
    found = compute_gradients(Net(), inputs, target, scale)
    torch.testing.assert_close(found, theirs(Net(), inputs, target, scale))
    assert all(leaf.grad is None for leaf in inputs)


@pytest.mark.parametrize("name", ["Saliency", "InputXGradient", "IntegratedGradients"])
@pytest.mark.parametrize("target", [1, [0, 1, 2, 1, 0], torch.tensor([0, 1, 2, 1, 0])], ids=["one", "list", "tensor"])
@pytest.mark.parametrize("scale", [None, 2.0, torch.arange(1.0, 6.0, dtype=torch.float64)[:, None]], ids=str)
def test_another_gradient_is_used_as_in_captum(name: str, target: object, scale: object) -> None:
    call = {"inputs": (X.clone(), Y.clone()), "target": target, "additional_forward_args": scale}
    found, expected = both(name, (squared, squared), Net(), **call)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)  # Captum's quadrature weights are float32


def test_another_gradient_is_used_at_random_points() -> None:
    method = attr.GradientShap(Net())
    method.gradient_func = lambda _function, inputs, *_: tuple(torch.full_like(leaf, 2.0) for leaf in inputs)
    found, delta = method.attribute((X, Y), (X[:1] * 0, Y[:1] * 0), target=0, return_convergence_delta=True)
    torch.testing.assert_close(found, (2 * X, 2 * Y))
    values = Net()(X, Y)[:, 0] - Net()(X[:1] * 0, Y[:1] * 0)[:, 0]
    torch.testing.assert_close(delta.view(5, -1)[:, 0], (2 * X).sum(dim=1) + (2 * Y).sum(dim=1) - values.detach())


@pytest.mark.parametrize("name", ["Saliency", "InputXGradient", "IntegratedGradients"])
def test_our_function_inside_another(name: str) -> None:
    def ours(*given: object) -> tuple[Tensor, ...]:
        return tuple(gradient.clamp(min=0) for gradient in compute_gradients(*given))

    def captums(*given: object) -> tuple[Tensor, ...]:
        return tuple(gradient.clamp(min=0) for gradient in theirs(*given))

    call = {"inputs": (X.clone(), Y.clone()), "target": 1}
    found, expected = both(name, (ours, lambda *args, **kwargs: captums(*args, *kwargs.values())), Net(), **call)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_noise_around_it_asks_it_too() -> None:
    method = attr.Saliency(Net())
    method.gradient_func = lambda _function, inputs, *_: tuple(torch.full_like(leaf, -3.0) for leaf in inputs)
    for found in attr.NoiseTunnel(method).attribute((X, Y), target=0, nt_samples=3):
        assert found.eq(3).all()


def test_one_number_for_the_batch() -> None:
    found, expected = both("InputXGradient", (squared, squared), lambda x: (x**2).sum().reshape(1), inputs=X.clone())
    torch.testing.assert_close(found, expected)


def test_the_delta_is_that_of_what_was_made_of_it() -> None:
    method = attr.IntegratedGradients(Net())
    method.gradient_func = lambda _function, inputs, *_: tuple(torch.zeros_like(leaf) for leaf in inputs)
    found, delta = method.attribute((X, Y), target=1, return_convergence_delta=True)
    assert not any(leaf.any() for leaf in found)
    torch.testing.assert_close(-delta, (Net()(X, Y) - Net()(X * 0, Y * 0))[:, 1].detach())


@pytest.mark.parametrize("name", ["DeepLift", "LRP", "GuidedBackprop", "Deconvolution"])
def test_methods_with_rules_of_their_own_refuse_it(name: str) -> None:
    method = getattr(attr, name)(nn.Linear(3, 2))
    method.gradient_func = squared
    with pytest.raises(ArgumentError, match=f"gradient_func plays no part in {name}, which has rules of its own"):
        method.attribute(X.float(), target=0)


def test_what_is_no_gradient_is_refused() -> None:
    method = attr.Saliency(Net())
    method.gradient_func = lambda _function, inputs, *_: inputs[0]
    with pytest.raises(ArgumentError, match=r"the shapes of the inputs, \[\(5, 3\), \(5, 2\)\], got \[\(5, 3\)\]"):
        method.attribute((X, Y), target=0)
    method.gradient_func = lambda *_: None
    with pytest.raises(ArgumentTypeError, match="Gradients must be a tensor or a tuple of tensors, got NoneType"):
        method.attribute((X, Y), target=0)


def test_who_has_it_is_who_has_it_in_captum() -> None:
    for name in captum.attr.__all__:
        kind = getattr(captum.attr, name)
        if isinstance(kind, type) and issubclass(kind, captum.attr.Attribution):
            expected = issubclass(kind, captum.attr.GradientAttribution)
            assert hasattr(getattr(attr, name), "gradient_func") is expected, name
            if expected:
                assert getattr(attr, name).gradient_func is compute_gradients
