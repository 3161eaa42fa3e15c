import math

import pytest
import torch
from torch import Tensor

from lightning_explain.baseline import BASELINES, blur, mean, resolve, zeros

X = torch.randn(3, 2, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
IDS = torch.tensor([[1, 2], [3, 4], [5, 6]])


def test_the_names_that_users_type() -> None:
    assert set(BASELINES) == {"zeros", "mean", "blur"}


def test_zeros_and_mean() -> None:
    assert torch.equal(zeros(X), 0 * X)
    expected = (X[0] + X[1] + X[2]) / 3
    for sample in mean(X):
        torch.testing.assert_close(sample, expected, rtol=0, atol=1e-15)


def test_blur_is_a_normalized_gaussian_over_height_and_width() -> None:
    sigma = 6 / 12
    radius = 2  # three standard deviations, rounded
    weights = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(-radius, radius + 1)]
    weights = [weight / sum(weights) for weight in weights]
    expected = torch.zeros_like(X)
    for y in range(4):
        for x in range(6):
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
                    near = X[:, :, min(max(y + dy, 0), 3), min(max(x + dx, 0), 5)]  # edges are repeated
                    expected[:, :, y, x] += weights[dy + radius] * weights[dx + radius] * near
    torch.testing.assert_close(blur(X), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", [(2, 3, 24), (2, 1, 28, 20), (2, 1, 3, 8, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_blur_keeps_what_is_constant_and_levels_the_rest(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    tolerance = {torch.float32: 1e-6, torch.float64: 1e-14, torch.bfloat16: 0.02}[dtype]
    torch.testing.assert_close(
        blur(torch.ones(shape, dtype=dtype)), torch.ones(shape, dtype=dtype), rtol=0, atol=tolerance
    )
    x = torch.randn(shape).to(dtype)
    assert blur(x).std() < 0.8 * x.std()
    assert blur(x).dtype == dtype
    if len(shape) == 5:  # only the last two dimensions: frames stay apart
        torch.testing.assert_close(blur(x)[:, :, 1], blur(x[:, :, 1]))


def test_blur_needs_something_spatial() -> None:
    with pytest.raises(ValueError, match=r"The baseline 'blur' needs \(n, channels, ..., width\); got shape \(4, 3\)"):
        resolve("blur", torch.zeros(4, 3))


@pytest.mark.parametrize("name", BASELINES)
def test_ids_and_flags_stay_as_they_are_under_a_name(name: str) -> None:
    flags = torch.tensor([True, False, True])
    found = resolve(name, {"ids": IDS, "x": X, "flags": flags})
    assert list(found) == ["ids", "x", "flags"]
    assert torch.equal(found["ids"], IDS)
    assert found["ids"] is not IDS
    assert torch.equal(found["flags"], flags)
    torch.testing.assert_close(found["x"], BASELINES[name](X))


@pytest.mark.parametrize("number", [0, 0.5, -1])
def test_numbers_are_for_all_inputs(number: float) -> None:
    x, ids = resolve(number, (X, IDS))
    assert (x == number).all()
    assert (ids == int(number)).all()
    assert ids.dtype == IDS.dtype


@pytest.mark.parametrize(
    ("baseline", "inputs"),
    [
        (X + 1, X),
        (X[:1] + 1, X),
        (X.float() + 1, X),
        ((X + 1,), X),
        ({"x": X + 1}, {"x": X}),
        (X + 1, {"x": X}),
        ({"ids": IDS * 0, "x": X[:1]}, {"x": X, "ids": IDS}),
        ((X[:1], IDS[:1]), (X, IDS)),
        (torch.tensor([2.0]), torch.tensor([1.0, 5.0])),
    ],
)
def test_tensors_come_in_the_structure_type_and_shape_of_the_inputs(baseline: object, inputs: object) -> None:
    found = resolve(baseline, inputs)
    assert type(found) is type(inputs)
    pairs = [(found[key], inputs[key]) for key in inputs] if isinstance(inputs, dict) else None
    pairs = pairs or ([(found, inputs)] if isinstance(inputs, Tensor) else list(zip(found, inputs, strict=True)))
    for left, right in pairs:
        assert left.shape == right.shape
        assert left.dtype == right.dtype
    pairs[0][0].add_(1)  # a tensor of its own: the given one stays
    assert torch.equal(X, torch.randn(3, 2, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))


def test_keys_decide_and_not_their_order() -> None:
    found = resolve({"b": X[:1] + 1, "a": X[:1] + 2}, {"a": X, "b": X})
    torch.testing.assert_close(found["a"], (X[:1] + 2).expand_as(X))
    torch.testing.assert_close(found["b"], (X[:1] + 1).expand_as(X))


@pytest.mark.parametrize(
    ("baseline", "inputs", "message"),
    [
        ("zero", X, "No baseline 'zero'. Did you mean 'zeros'. Known: zeros, mean, blur"),
        (X[:2], X, r"The baseline of input has shape \(2, 2, 4, 6\); expected \(3, 2, 4, 6\), or \(1, 2, 4, 6\)"),
        (X[..., :5], X, r"has shape \(3, 2, 4, 5\)"),
        (torch.tensor(1.0), X, r"has shape \(\)"),
        (torch.tensor(1.0), torch.zeros(4), r"has shape \(\); expected \(4,\), or \(1,\)"),
        ((X, X), X, "Expected a baseline for each of the 1 inputs, got 2"),
        (X, (X, IDS), "Expected a baseline for each of the 2 inputs, got 1"),
        ({"x": X}, {"x": X, "ids": IDS}, r"The baseline lacks \['ids'\]; the inputs are \['x', 'ids'\]"),
        ((X, IDS[:, :1]), {"x": X, "ids": IDS}, r"The baseline of ids has shape \(3, 1\)"),
    ],
)
def test_what_does_not_fit_is_refused(baseline: object, inputs: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(baseline, inputs)
