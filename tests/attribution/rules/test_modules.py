"""Which modules are running."""

import pytest
import torch
from torch import Tensor, nn

from lightning_explain import explain
from lightning_explain.attribution.rules.modules import running


class Inner(nn.Module):
    def __init__(self, seen: list) -> None:
        super().__init__()
        self.seen = seen
        self.stack: list = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append([name for name, _ in self.stack])
        if x.sum() > 100:
            raise KeyError("midway")
        return x


class Outer(nn.Module):
    def __init__(self, seen: list) -> None:
        super().__init__()
        self.inner, self.last = Inner(seen), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(self.inner(x))
        try:
            self.inner(x + 1000)
        except KeyError:
            x = self.inner(x)
        return self.last(x)


def test_the_innermost_is_last_also_after_errors_and_repeats() -> None:
    seen: list[list[str]] = []
    model = Outer(seen)
    with running(model) as stack:
        model.inner.stack = stack
        model(torch.zeros(2))
        assert stack == []
    assert seen == [["", "inner"]] * 4
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_hooks_go_when_the_block_fails() -> None:
    model = Outer([])
    with pytest.raises(KeyError, match="midway"), running(model):
        model.inner(torch.full((2,), 999.0))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["deep_lift", "deep_lift_shap", "lrp", "guided_backprop", "deconvolution"])
def test_operators_of_torchscript_are_out_of_sight(method: str) -> None:
    inner = nn.Sequential(nn.Linear(4, 5), nn.ReLU())
    traced = nn.Sequential(torch.jit.trace(inner, torch.randn(2, 4)), nn.Linear(5, 2))
    with pytest.raises(ValueError, match="TorchScript runs those of Sequential out of sight"):
        explain(traced, torch.randn(3, 4), method, target=1)
    assert explain(traced, torch.randn(3, 4), "saliency", target=1).values.abs().max() > 0
