from collections.abc import Iterator

import pytest
import torch
from captum import attr as captum
from captum._utils.models.linear_model import SkLearnRidge
from torch import Tensor, nn

from lightning_explain.captum import attr as ours
from lightning_explain.captum.errors import ArgumentError

X = torch.tensor([[1.0, -2.0, 3.0]])
Y = torch.tensor([[0.5, 1.0]])
SHIFTS = torch.randn(12, 1, 3, generator=torch.Generator().manual_seed(0))


def weight(original: object, perturbed: object, interpretable: Tensor, *, power: float) -> Tensor:
    return (interpretable.float().abs().sum() + 0.1) ** power


def shifted(inputs: Tensor, **_: object) -> Iterator[Tensor]:
    yield from (inputs + shift for shift in SHIFTS)


def both(forward: object, *parts: object, **call: object) -> Tensor:
    model = SkLearnRidge(alpha=0.1)
    expected = captum.LimeBase(forward, model, *parts).attribute(**call)
    found = ours.LimeBase(forward, model, *parts).attribute(**call)
    torch.testing.assert_close(found, expected)
    return found


@pytest.mark.parametrize("per_eval", [1, 5, 12])
@pytest.mark.parametrize("target", [1, [1], torch.tensor([0]), (1,)], ids=str)
def test_samples_of_the_inputs(per_eval: int, target: object) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).eval()
    both(
        model, weight, shifted, False, None, lambda sample, inputs, **_: sample - inputs,
        inputs=X, target=target, n_samples=12, perturbations_per_eval=per_eval, power=1.5,
    )  # fmt: skip


@pytest.mark.parametrize("per_eval", [1, 3])
def test_samples_of_what_is_interpretable(per_eval: int) -> None:
    def forward(x: Tensor, y: Tensor, scale: Tensor, offset: float) -> Tensor:
        return (x.sum(dim=1) * y.prod(dim=1)) * scale + offset

    def restored(present: Tensor, inputs: tuple[Tensor, Tensor], **_: object) -> tuple[Tensor, Tensor]:
        return inputs[0] * present[:, :3], inputs[1] * present[:, 3:]

    def drawn(inputs: object, **_: object) -> Iterator[Tensor]:
        yield from torch.cartesian_prod(*[torch.tensor([0, 1])] * 5).split(1)

    both(
        forward, weight, drawn, True, restored, None, inputs=(X, Y), n_samples=20, perturbations_per_eval=per_eval,
        additional_forward_args=(torch.tensor([2.0]), 1.0), power=0.0,
    )  # fmt: skip


def test_a_function_is_asked_again_and_again(capsys: pytest.CaptureFixture[str]) -> None:
    counts = iter(range(100))
    method = ours.LimeBase(
        lambda x: float(x.sum()), SkLearnRidge(alpha=1e-6), weight,
        lambda x, **_: x * 0 + next(counts) % 5, False, None,
        lambda sample, inputs, **_: sample[:, :1],
    )  # fmt: skip
    found = method.attribute(X, n_samples=10, power=1.0, show_progress=True)
    torch.testing.assert_close(found, torch.tensor([[3.0]]), atol=1e-3, rtol=0)
    assert next(counts) == 10
    assert "Lime Base attribution: 100%" in capsys.readouterr().err


def test_a_generator_that_ends_early() -> None:
    parts = (weight, shifted, False, None, lambda sample, inputs, **_: sample)
    few = ours.LimeBase(lambda x: x.sum(dim=1), SkLearnRidge(alpha=0.1), *parts)
    with pytest.warns(UserWarning, match="perturb_func gave 12 of 50 samples"):
        found = few.attribute(X, power=1.0)
    torch.testing.assert_close(found, few.attribute(X, n_samples=12, power=1.0))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ArgumentError, match="to_interp_rep_transform is needed"):
        ours.LimeBase(X.sum, SkLearnRidge(), weight, shifted, False, None, None)
    with pytest.raises(ArgumentError, match="from_interp_rep_transform is needed"):
        ours.LimeBase(X.sum, SkLearnRidge(), weight, shifted, True, None, lambda *_: X)
    parts = (weight, shifted, False, None, lambda sample, inputs, **_: sample)
    method = ours.LimeBase(lambda x: x, SkLearnRidge(), *parts)
    with pytest.raises(AssertionError, match=r"3 numbers for 1 perturbed input\(s\)"):
        method.attribute(X, power=1.0)
    with pytest.raises(ArgumentError, match="at least 1, got 0"):
        method.attribute(X, perturbations_per_eval=0, power=1.0)


def test_a_list_beside_the_inputs_is_the_models_own_affair() -> None:
    seen: list[object] = []

    def forward(x: Tensor, scales: list[float]) -> Tensor:
        seen.append(scales)
        return x.sum(dim=1) * scales[0]

    both(
        forward, weight, shifted, False, None, lambda sample, inputs, **_: sample - inputs,
        inputs=X, additional_forward_args=([2.0, 3.0],), n_samples=12, perturbations_per_eval=4, power=1.5,
    )  # fmt: skip
    assert seen == [[2.0, 3.0]] * len(seen)
