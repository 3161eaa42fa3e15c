"""The forms of attributions of several outputs, by what Captum gives for the same models."""

from types import SimpleNamespace

import captum.attr
import pytest
import torch
from torch import Tensor

from lightning_explain.captum import attr
from lightning_explain.captum.ask import Answer, Ask
from lightning_explain.captum.shaping import by_flat_output, by_output, fractional, listed, of_means

X = torch.arange(6.0).reshape(2, 3) - 2


def found(points: list[Tensor], shape: tuple[int, ...], dtype: torch.dtype, *, per_batch: bool = False) -> Answer:
    return Answer(
        SimpleNamespace(inputs=X), SimpleNamespace(outputs=torch.zeros(shape, dtype=dtype)), [(p,) for p in points],
        shape, per_batch,
    )  # fmt: skip


def test_outputs_are_listed_sample_by_sample() -> None:
    first, second = torch.full((2, 3), 1.0), torch.full((2, 3), 2.0)
    (rows,) = listed(found([first, second], (2, 2), torch.float32))
    assert rows[:, 0].tolist() == [1, 2, 1, 2]
    assert by_output(found([first, second], (2, 2), torch.float32)).shape == (2, 2, 3)
    assert by_flat_output(found([first, second], (2, 2), torch.float32)).shape == (4, 3)


def test_numbers_for_the_batch_are_listed_without_it() -> None:
    first, second = torch.full((1, 2, 3), 1.0), torch.full((1, 2, 3), 2.0)
    (rows,) = listed(found([first, second], (2,), torch.float32, per_batch=True))
    assert torch.equal(rows, torch.tensor([[1.0] * 3, [2.0] * 3]))


def test_of_a_row_of_the_mask_for_each_output_each_has_its_own() -> None:
    batch = torch.arange(6.0).reshape(1, 2, 3)
    (rows,) = listed(found([batch, batch, batch], (3,), torch.float32, per_batch=True))
    assert torch.equal(rows, torch.stack([batch[0, 0], batch[0, 1], batch[0, 1]]))


@pytest.mark.parametrize(
    ("dtype", "flat", "means"),
    [(torch.float64, torch.float64, torch.float64), (torch.int64, torch.int64, torch.float32)],
)
def test_dtypes_are_those_of_the_outputs(dtype: torch.dtype, flat: torch.dtype, means: torch.dtype) -> None:
    answer = found([torch.full((2, 3), 1.6)], (2,), dtype)
    assert by_flat_output(answer).dtype == flat
    assert by_flat_output(answer)[0, 0] == (2 if flat == torch.int64 else pytest.approx(1.6))
    assert of_means(answer).dtype == by_output(answer).dtype == means
    assert fractional(answer, (X,))[0].dtype == means


MODELS = {
    "a number each": lambda x: x.sum(dim=1),
    "several each": lambda x: torch.stack([x.sum(dim=1), x.prod(dim=1)], dim=1),
    "integers": lambda x: x.long().sum(dim=1),
    "one for the batch": lambda x: x.sum().reshape(1),
    "several for the batch": lambda x: x.sum(dim=0),
}


@pytest.mark.parametrize("name", ["FeatureAblation", "Occlusion", "ShapleyValueSampling", "ShapleyValues"])
@pytest.mark.parametrize("model", MODELS)
def test_forms_are_captums(name: str, model: str) -> None:
    given = {"sliding_window_shapes": (1,)} if name == "Occlusion" else {}
    ours, theirs = (getattr(package, name)(MODELS[model]).attribute(X, **given) for package in (attr, captum.attr))
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    if name != "ShapleyValueSampling":
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_tuple_stays_one() -> None:
    answer = found([torch.ones(2, 3)], (2,), torch.float32)
    answer.ask.inputs = (X,)
    assert isinstance(by_output(answer), tuple)
    assert isinstance(by_flat_output(answer), tuple)
    assert isinstance(Ask(None, (X,)).inputs, tuple)
