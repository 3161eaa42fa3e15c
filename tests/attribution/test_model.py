import pytest
import torch
from cases import ModelOutput
from torch import Tensor, nn

from lightning_explain.attribution.model import call, output


class Echo(nn.Module):
    def forward(self, *args: Tensor, **kwargs: Tensor) -> tuple[int, list[str]]:
        return len(args), list(kwargs)


X = torch.zeros(3, 2)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [(X, (1, [])), ((X, X), (2, [])), ((X,), (1, [])), ({"a": X, "b": X}, (0, ["a", "b"]))],
)
def test_inputs_are_passed_as_they_are_packed(inputs: object, expected: object) -> None:
    assert call(Echo(), inputs) == expected


class Attributes:
    logits = torch.ones(3, 4)


@pytest.mark.parametrize(
    "result",
    [
        Attributes.logits,
        Attributes(),
        {"logits": Attributes.logits, "loss": torch.zeros(())},
        ModelOutput(hidden=X, logits=Attributes.logits),
        (Attributes.logits, X),
        [Attributes.logits],
    ],
)
def test_predictions_are_found(result: object) -> None:
    assert output(nn.Identity(), X, lambda *_: result) is Attributes.logits


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"out": X}, r"got a dict with the keys \['out'\]\. Pass forward=, a function \(model, inputs\) -> tensor"),
        ({"logits": None}, r"got a dict with the keys \['logits'\]"),
        ((), "got tuple"),
        (None, "got NoneType"),
        (3.0, "got float"),
    ],
)
def test_what_is_not_found_is_described(result: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        output(nn.Identity(), X, lambda *_: result)


@pytest.mark.parametrize("shape", [(), (2, 3), (1, 3), (4,)])
def test_every_sample_has_a_row(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"for 3 samples; expected one row per sample, the batch dimension first"):
        output(nn.Identity(), X, lambda *_: torch.zeros(shape))
