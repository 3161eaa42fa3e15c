import pytest
import torch
from captum import attr as captum
from torch import Tensor, nn

from lightning_explain.attribution.methods import FeatureAblation, InputXGradient, IntegratedGradients
from lightning_explain.captum import attr
from lightning_explain.captum._utils.models.linear_model import SkLearnLinearRegression
from lightning_explain.captum.ask import Ask
from lightning_explain.captum.asking import answer
from lightning_explain.captum.attr import IntegratedGradients as Shell
from lightning_explain.captum.attr import Saliency
from lightning_explain.captum.errors import ArgumentError

X = torch.linspace(-1, 1, 12).reshape(3, 4)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))


def per_output(found: object) -> list[Tensor]:
    return [point[0] for point in found.points]


@pytest.mark.parametrize("target", [1, (1,), [0, 1, 2], torch.tensor([0, 1, 2]), [(0,), (1,), (2,)]])
def test_targets_mean_what_they_mean_in_captum(model: nn.Module, target: object) -> None:
    ours, delta = Shell(model).attribute(X, target=target, return_convergence_delta=True)
    theirs, their_delta = captum.IntegratedGradients(model.eval()).attribute(
        X, target=target, return_convergence_delta=True
    )
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(delta, their_delta, atol=1e-6, rtol=1e-5)


def test_the_model_is_left_as_it_was(model: nn.Module) -> None:
    x = X.clone().requires_grad_()
    x.grad = torch.full_like(x, 7.0)
    state = {name: held.clone() for name, held in model.state_dict().items()}
    found = Saliency(model).attribute(x, target=0)
    assert model.training
    assert not found.requires_grad
    assert x.requires_grad
    assert x.grad.eq(7).all()
    assert all(torch.equal(state[name], held) for name, held in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_explaining_works_in_inference_mode(model: nn.Module) -> None:
    with torch.inference_mode():
        inside = Saliency(model).attribute(X * 1, target=0)
    assert torch.equal(inside, Saliency(model).attribute(X, target=0))


def test_every_output_is_explained_by_the_rows_of_one(model: nn.Module) -> None:
    rows = 0

    def counted(x: Tensor) -> Tensor:
        nonlocal rows
        rows += len(x)
        return model.eval()(x)

    found = answer(counted, Ask(FeatureAblation(), X, whole=True, form=per_output))
    assert rows == 3 + 2 * 3 + 4 * 3  # the trial of what the function does with more rows takes two batches
    for number, points in enumerate(found):
        expected = captum.FeatureAblation(model).attribute(X, target=number)
        torch.testing.assert_close(points, expected)


def test_a_batch_with_one_number_is_one_sample() -> None:
    def total(x: Tensor, y: Tensor) -> float:
        return float((x * 2).sum() + y.sum())

    y = torch.arange(5.0)
    found = answer(
        total, Ask(FeatureAblation(), (X, y), whole=True, form=lambda it: (it.shape, it.per_batch, it.point))
    )
    shape, per_batch, (x_part, y_part) = found
    assert shape == ()
    assert per_batch
    torch.testing.assert_close(x_part[0].float(), (2 * X).sum(dim=0).expand(3, 4))
    torch.testing.assert_close(y_part, torch.full((1, 5), 10.0, dtype=torch.float64))


def test_gradients_of_one_number_for_the_batch() -> None:
    whole = lambda x: (x**2).sum().reshape(1)  # noqa: E731
    torch.testing.assert_close(answer(whole, Ask(InputXGradient(), X, form=lambda it: it.point[0][0])), 2 * X**2)


def test_arguments_beside_the_inputs_are_not_explained() -> None:
    weight = torch.tensor([[1.0], [2.0], [3.0]])

    def scaled(x: Tensor, w: Tensor, flag: str, ids: Tensor) -> Tensor:
        assert flag == "on"
        return (x**2 * w).sum(dim=1) + ids

    ask = Ask(IntegratedGradients(), (X,), additional_forward_args=(weight, "on", torch.arange(3)))
    (found,) = answer(scaled, ask)
    torch.testing.assert_close(found, X**2 * weight, atol=1e-6, rtol=1e-5)


def test_an_output_has_to_be_chosen(model: nn.Module) -> None:
    with pytest.raises(ArgumentError, match="Give target="):
        Saliency(model).attribute(X)


def test_the_first_look_at_the_outputs_does_not_write_to_the_inputs() -> None:
    """A model that works in place on what it is given, asked for a method that looks at the whole batch first."""
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0])

    def forward(x: Tensor) -> Tensor:
        return (x.relu_() * weight).sum(dim=1)

    def by_values(found: object) -> Tensor:
        return found.problem.z[0]

    for function in (forward, lambda x: forward(x).sum()):
        held = answer(function, Ask(FeatureAblation(), X, whole=True, form=by_values))
        assert torch.equal(held.reshape(X.shape), X)


CLOSED_OVER = {
    "labels": lambda model, n: lambda x: model(x).gather(1, torch.arange(n)[:, None] % 3)[:, 0],
    "weights": lambda model, n: lambda x: model(x)[:, 1] * torch.linspace(1, 2, n),
    "losses": lambda model, n: lambda x: nn.functional.cross_entropy(model(x), torch.arange(n) % 3, reduction="none"),
    "ranks": lambda model, _: lambda x: model(x).softmax(dim=0)[:, 1],
}


@pytest.mark.parametrize("kind", CLOSED_OVER)
@pytest.mark.parametrize("samples", [1, 5, 40])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Saliency", ()),
        ("FeatureAblation", ()),
        ("Occlusion", ((2,),)),
        ("ShapleyValues", ()),
    ],
)
def test_functions_may_hold_something_of_the_samples(
    model: nn.Module, kind: str, samples: int, name: str, arguments: tuple[object, ...]
) -> None:
    x = torch.randn(samples, 4, generator=torch.Generator().manual_seed(1))
    function = CLOSED_OVER[kind](model.eval(), samples)
    found = getattr(attr, name)(function).attribute(x, *arguments)
    expected = getattr(captum, name)(function).attribute(x.clone().requires_grad_(), *arguments)
    torch.testing.assert_close(found, expected.detach(), atol=1e-6, rtol=1e-5)


def test_rows_that_have_nothing_to_do_with_each_other_go_together(model: nn.Module) -> None:
    rows: list[int] = []

    def counted(x: Tensor) -> Tensor:
        rows.append(len(x))
        return model.eval()(x)[:, 0]

    attr.FeatureAblation(counted).attribute(X)
    assert rows[:2] == [3, 6]  # the batch, and the trial
    assert max(rows[2:]) > 3
    rows.clear()
    attr.FeatureAblation(lambda x: counted(x).softmax(dim=0)).attribute(X)
    assert rows == [3, 6, 3, 3, 3, 3]


def test_layers_of_functions_see_whole_batches(model: nn.Module) -> None:
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))
    function = CLOSED_OVER["weights"](model.eval(), 40)
    for name in ("LayerActivation", "LayerGradientXActivation", "LayerFeatureAblation"):
        found = getattr(attr, name)(function, model[0]).attribute(x)
        expected = getattr(captum, name)(function, model[0]).attribute(x)
        torch.testing.assert_close(found, expected.detach(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["FeaturePermutation", "Lime", "LimeBase"])
def test_what_the_callers_functions_draw_follows_from_the_seed(name: str) -> None:
    drawn: list[Tensor] = []

    def draw(count: int) -> Tensor:
        drawn.append(torch.randint(0, 2, (1, count)))
        return drawn[-1]

    def like(x: Tensor, **_: object) -> Tensor:
        return x * draw(x.numel()).reshape(x.shape)

    make = {
        "FeaturePermutation": lambda: attr.FeaturePermutation(first, lambda x, _mask: like(x)),
        "Lime": lambda: attr.Lime(first, perturb_func=lambda _x, num_interp_features, **_: draw(num_interp_features)),
        "LimeBase": lambda: attr.LimeBase(
            first, SkLearnLinearRegression(), lambda *_, **__: 1.0, like, False, None, lambda made, _x, **__: made
        ),
    }[name]

    def of(seed: int) -> Tensor:
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        drawn.clear()
        make().attribute(X[:1] if name == "LimeBase" else X)
        assert torch.equal(before, torch.get_rng_state())
        return torch.cat(drawn)

    assert torch.equal(of(1), of(1))
    assert not torch.equal(of(1), of(2))


def first(x: Tensor) -> Tensor:
    return x[:, 0]
