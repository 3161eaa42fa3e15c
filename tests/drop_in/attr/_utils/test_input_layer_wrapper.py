import captum.attr
import pytest
import torch
from captum.attr._utils.input_layer_wrapper import ModelInputWrapper as Captums
from torch import nn

from lightning_explain.captum.attr._utils.input_layer_wrapper import ModelInputWrapper


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x, y, *more, scale=1.0, **rest):
        return self.linear(x * y + sum(more) + rest.get("shift", 0)) * scale


def test_the_model_gives_what_it_gave():
    model = Two()
    wrapped, x, y = ModelInputWrapper(model), torch.randn(4, 3), torch.randn(4, 3)
    torch.testing.assert_close(wrapped(x, y), model(x, y))
    torch.testing.assert_close(wrapped(x, y=y, scale=2.0), model(x, y, scale=2.0))
    torch.testing.assert_close(wrapped(x, y, x, scale=2.0, shift=1), model(x, y, x, scale=2.0, shift=1))


def test_every_input_has_a_layer():
    wrapped = ModelInputWrapper(Two())
    assert list(wrapped.input_maps) == ["x", "y", "scale"]
    assert wrapped.arg_name_list == Captums(Two()).arg_name_list == ["x", "y"]
    assert wrapped.input_maps["y"].input_name == "y"


@pytest.mark.parametrize("by_name", [False, True])
def test_the_layer_of_an_input_is_explained_as_the_input(by_name):
    class ByName(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = ModelInputWrapper(Two())

        def forward(self, x, y):
            return self.model(x, y=y) if by_name else self.model(x, y)

    model = ByName().eval()
    x, y = torch.randn(4, 3), torch.randn(4, 3)
    found = captum.attr.LayerIntegratedGradients(model, model.model.input_maps["y"]).attribute((x, y), target=1)
    expected = captum.attr.IntegratedGradients(lambda y: model(x.repeat(len(y) // len(x), 1), y)).attribute(y, target=1)
    torch.testing.assert_close(found, expected)
