import pytest
import torch
from torch import nn

from lightning_explain import Layer
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.relative_depth import relative_depth

MODEL = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("layer", "share"),
    [
        (Layer("0", of="input"), 0),
        (Layer("0"), 0.2),
        (Layer("1", of="input"), 0.2),
        (Layer("1.1", of="input"), 0.4),
        (Layer("1.1"), 0.6),
        (Layer("1"), 0.8),
        (Layer("2"), 1),
    ],
    ids=str,
)
def test_it_is_the_share_of_the_innermost_modules_that_have_run(layer: Layer, share: float) -> None:
    assert relative_depth(pose(MODEL, torch.zeros(1, 3), 0), layer) == share


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="No layer 'nowhere'"):
        relative_depth(pose(MODEL, torch.zeros(1, 3), 0), Layer("nowhere"))
