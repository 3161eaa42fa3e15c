from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from lightning_explain.attribution import methods
from lightning_explain.attribution.layers import Layers
from lightning_explain.attribution.place import Input, Layer, Neuron
from lightning_explain.captum.ask import ELEMENTS, Answer, Ask, in_dtype_of, in_the_form_of_inputs

X = torch.arange(6.0).reshape(2, 3)
HALF = X.half()
UNIT = Neuron("layer0", 0)
LAYERS = (Layer("layer0"), Layers([Layer("layer0"), Layer("layer1")]))


def answer(ask: Ask, z: Tensor, point: Tensor, *, per_batch: bool = False, deltas: Tensor | None = None) -> Answer:
    problem = SimpleNamespace(z=(z,), value=torch.tensor([3.0, 12.0]), baseline_value=torch.tensor([1.0, 0.0]))
    return Answer(ask, problem, [(point,)], (2,), per_batch, deltas)


def test_every_element_of_the_inputs_is_a_feature() -> None:
    assert Input(channel_dim=None) == ELEMENTS == Ask(methods.Saliency(), X).place


@pytest.mark.parametrize(
    ("method", "place", "reads"),
    [
        (methods.Saliency(), ELEMENTS, True),
        (methods.Saliency(), LAYERS[0], True),
        (methods.Saliency(), UNIT, False),  # the neuron is explained in the output's place
        (methods.Conductance(), UNIT, True),  # the output, as far as it flows through the neuron
        (methods.Activation(), LAYERS[0], False),
        (methods.Activation(), LAYERS[1], False),
    ],
)
def test_when_it_matters_what_the_model_gives(method: methods.Method, place: object, reads: bool) -> None:
    assert Ask(method, X, place=place).reads_outputs is reads


def test_where_gradients_of_the_inputs_are_taken() -> None:
    assert Ask(methods.Saliency(), X).takes_gradients
    assert Ask(methods.Saliency(), X, place=UNIT).takes_gradients
    assert not any(Ask(methods.Saliency(), X, place=place).takes_gradients for place in LAYERS)
    assert not Ask(methods.FeatureAblation(), X, whole=True).takes_gradients
    assert not Ask(methods.Activation(), X).takes_gradients


def test_the_form_is_that_of_the_inputs() -> None:
    method = methods.Saliency()
    assert torch.equal(in_the_form_of_inputs(answer(Ask(method, X), X, X)), X)
    (alone,) = in_the_form_of_inputs(answer(Ask(method, (X,)), X, X))
    assert torch.equal(alone, X)
    assert torch.equal(in_the_form_of_inputs(answer(Ask(method, X), X[None], X[None], per_batch=True)), X)


def test_precision_is_that_of_what_is_explained() -> None:
    assert in_dtype_of((HALF,), (X,))[0].dtype == torch.float16
    assert in_dtype_of((X.long(),), (X + 0.5,))[0].dtype == torch.float32  # not cut off


def test_deltas_are_what_is_too_much_or_what_is_owed() -> None:
    deltas = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    method = methods.IntegratedGradients()
    assert answer(Ask(method, X), X, X, deltas=deltas).delta.tolist() == [1, 2, 3, 4]
    assert answer(Ask(method, X, owed=True), X, X, deltas=deltas).delta.tolist() == [-1, -2, -3, -4]
    # Without those of draws: the sum of attributions, 3 and 12, less the change of the score, 2 and 12.
    assert answer(Ask(method, X), X, X).delta.tolist() == [1, 0]


def test_the_one_output_is_the_first() -> None:
    assert answer(Ask(methods.Saliency(), X), X, X).point[0] is X
