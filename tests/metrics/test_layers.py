import pytest
import torch
from torch import nn

from lightning_explain.metrics.layers import parameter_layers
from metrics.evaluations import TARGET, Linear, Picture, pictures, problem_of, rows
from metrics.randomisation.architectures import (
    MODELS,
    Attention,
    Lists,
    Normalised,
    Parametrised,
    Recurrent,
    Tied,
    made,
)


def layers_of(model, inputs=None, **settings):
    inputs = torch.randn(4, 4) if inputs is None else inputs
    with problem_of(model, inputs, 0, **settings) as problem:
        return parameter_layers(problem)


@pytest.mark.parametrize("kind", MODELS)
def test_every_parameter_has_one_layer(kind):
    model = made(kind)
    layers = layers_of(model)
    own = [p for modules in layers.values() for m in modules for p in m.parameters(recurse=False)]
    assert {id(p) for p in own} == {id(p) for p in model.parameters()}
    modules = [id(m) for modules in layers.values() for m in modules]
    assert len(set(modules)) == len(modules)


def test_layers_are_in_the_order_in_which_they_run():
    class Backwards(nn.Module):
        """Made in another order than run; one layer runs twice, one never."""

        def __init__(self):
            super().__init__()
            self.last, self.twice, self.first, self.unused = (nn.Linear(4, 4) for _ in range(4))

        def forward(self, x):
            return self.last(self.twice(torch.tanh(self.twice(self.first(x)))))

    layers = layers_of(Backwards())
    # What never runs is random along with the model itself.
    assert list(layers) == ["<model>", "first", "twice", "last"]
    assert list(layers_of(Picture(), pictures())) == ["conv", "conv2", "head"]


def test_what_is_not_called_belongs_to_what_is_around_it():
    assert list(layers_of(made(Lists))) == ["<model>", "act"]
    assert list(layers_of(made(Parametrised))) == ["body", "head"]
    assert list(layers_of(made(Recurrent))) == ["lstm", "gru"]
    attention = layers_of(made(Attention))
    assert list(attention) == [
        "<model>",
        "embed",
        "block.norm1",
        "block.self_attn",
        "block.norm2",
        "block.linear1",
        "block.linear2",
        "cross",
        "other",
        "norm",
    ]
    assert len(attention["cross"]) == 2  # and its projection


def test_shared_parameters_belong_to_the_first():
    model = made(Tied)
    layers = layers_of(model)
    assert list(layers) == ["<model>", "encoder", "decoder"]
    model.decoder.bias = model.encoder.bias
    assert list(layers_of(model)) == ["<model>", "encoder"]


def test_running_statistics_alone_make_a_layer():
    assert list(layers_of(made(Normalised))) == ["first", "norm", "second", "plain", "layer", "group"]


def test_a_forward_of_ones_own_may_go_past_the_model():
    model = made(Attention)
    expected = list(layers_of(model))
    assert list(layers_of(model, forward=lambda model, x: model.forward(x))) == expected


def test_compiled_parts_have_the_names_that_users_know():
    model = Picture()
    model.conv2 = torch.compile(model.conv2)
    assert list(layers_of(model, pictures())) == ["conv", "conv2", "head"]


def test_one_row_and_no_hook_is_left():
    seen, model = [], Picture()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))
    with problem_of(model, pictures(), TARGET) as problem:
        seen.clear()
        assert parameter_layers(problem) is parameter_layers(problem)
        assert seen == [1]
        assert not any(module._forward_pre_hooks for module in model.modules())
    assert list(layers_of(Linear((5,)), rows())) == ["<model>"]
