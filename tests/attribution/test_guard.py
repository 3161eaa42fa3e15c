import contextlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from cases import BY_NAME
from torch import Tensor, nn

from lightning_explain import Input, Layer, explain
from lightning_explain.attribution.guard import borrowed


class Odd(nn.Module):
    """Does in its forward pass what modules should not do."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.register_buffer("counted", torch.zeros(()))
        self.register_buffer("replaced", torch.zeros(2))
        self.register_buffer("empty", None)
        self.register_buffer("broken", torch.tensor([float("nan"), 1.0]))
        self.calls = 0
        self.last: Tensor | None = None
        self.cache: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        self.counted += 1
        self.replaced = self.replaced + 1
        self.empty = x.mean().detach()
        self.broken[1] = 7
        self.calls += 1
        self.last = self.linear(x)
        self.cache["x"] = x
        if not hasattr(self, "added"):
            self.register_buffer("added", x.detach().clone())
        return self.last


def test_what_a_forward_pass_leaves_behind_is_taken_away() -> None:
    model = Odd()
    counted, replaced, broken = model.counted, model.replaced, model.broken
    explain(model, torch.randn(3, 3), "integrated_gradients", target=1)
    assert model.counted is counted
    assert model.replaced is replaced
    assert model.broken is broken
    assert counted.item() == 0
    assert replaced.tolist() == [0, 0]
    assert broken.isnan().tolist() == [True, False]
    assert broken[1] == 1
    assert model.empty is None
    assert model.calls == 0
    assert model.last is None
    assert model.cache == {}
    assert list(model.state_dict()) == ["counted", "replaced", "broken", "linear.weight", "linear.bias"]


def test_inside_the_model_is_frozen_in_evaluation_and_nothing_is_watched() -> None:
    model = BY_NAME["cnn"].model().train()
    gradient = torch.ones_like(model.head.weight)
    model.head.weight.grad = gradient
    for outside in (torch.inference_mode, torch.no_grad):
        with outside(), borrowed(model):
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
    with borrowed(model):
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
        assert all(parameter.grad is None for parameter in model.parameters())
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.head.weight.grad is gradient


def test_eval_and_train_are_never_called() -> None:
    class Stubborn(nn.Linear):
        def train(self, mode: bool = True) -> nn.Module:
            raise AssertionError(mode)

    model = nn.Sequential(Stubborn(3, 2))
    explain(model, torch.randn(2, 3), target=0)
    assert model[0].training


@pytest.mark.parametrize("fails", [False, True], ids=["ends", "fails"])
def test_scripted_modules_are_trained_on_afterwards(fails: bool) -> None:
    model = nn.Sequential(torch.jit.script(nn.Sequential(nn.Linear(3, 2), nn.Dropout())), nn.Dropout()).train()
    model[1].eval()
    before = [module.training for module in model.modules()]
    with contextlib.suppress(KeyError), borrowed(model):
        assert not any(module.training for module in model.modules())
        if fails:
            raise KeyError
    assert [module.training for module in model.modules()] == before
    assert sorted(set(before)) == [False, True]


def test_forward_hooks_run_and_backward_hooks_rest() -> None:
    model = BY_NAME["cnn"].model()
    seen: list[str] = []
    model.conv1.register_forward_hook(lambda *_: seen.append("forward"))
    model.conv1.register_full_backward_hook(lambda *_: seen.append("backward"))
    model.conv1.register_full_backward_pre_hook(lambda *_: seen.append("backward_pre"))
    model.head.weight.register_hook(lambda _: seen.append("tensor"))
    model.head.weight.register_post_accumulate_grad_hook(lambda _: seen.append("accumulated"))
    x = BY_NAME["cnn"].inputs()
    explain(model, x, "saliency")
    assert set(seen) == {"forward"}
    seen.clear()
    model(x.clone().requires_grad_()).sum().backward()
    assert sorted(seen) == ["accumulated", "backward", "backward_pre", "forward", "tensor"]


def test_a_hook_that_removes_itself_is_put_back() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    runs: list[int] = []

    def once(*_: object) -> None:
        runs.append(1)
        handle.remove()

    handle = model[0].register_forward_hook(once)
    explain(model, torch.randn(2, 3), target=0)
    assert len(runs) == 1
    assert len(model[0]._forward_hooks) == 1
    handle.remove()
    assert len(model[0]._forward_hooks) == 0


def test_weights_made_by_hooks_and_parametrizations_survive() -> None:
    for make in (nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm):
        model = make(nn.Linear(3, 2))
        before = {key: value.clone() for key, value in model.state_dict().items()}
        found = explain(model, torch.randn(2, 3), "saliency", target=1).values
        torch.testing.assert_close(found, model.eval().weight[1].detach().abs().expand(2, 3))
        for key, value in model.state_dict().items():
            assert torch.equal(value, before[key])


@pytest.mark.parametrize("fails", [False, True])
def test_random_states_come_back(fails: bool) -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            noise = torch.rand(()) + random.random() + np.random.rand()
            if fails:
                raise LookupError("as planned")
            return (x * noise).sum(dim=1)

    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    if fails:
        with pytest.raises(LookupError, match="as planned"):
            explain(Noisy(), x, "saliency", target="output")
    else:
        first = explain(Noisy(), x, "saliency", target="output").values
        torch.rand(5)
        torch.set_rng_state(states[2])
        assert torch.equal(first, explain(Noisy(), x, "saliency", target="output").values)
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize(
    "compiled",
    [
        lambda model: torch.compile(model, backend="eager"),
        lambda model: setattr(model, "conv1", torch.compile(model.conv1, backend="eager")) or model,
        lambda model: model.bn1.compile(backend="eager") or model,
        lambda model: model.compile(backend="eager") or model,
    ],
    ids=["model", "submodule", "submodule_in_place", "model_in_place"],
)
def test_compiled_models_give_the_same(compiled: Callable[[nn.Module], nn.Module]) -> None:
    case = BY_NAME["cnn"]
    x = case.inputs()
    places = (Input(), Layer("conv1"), Layer("bn1"))
    expected = [explain(case.model(), x, "integrated_gradients", place).values for place in places]
    model = compiled(case.model())
    model(x)  # compiled before, as in training
    for place, values in zip(places, expected, strict=True):
        found = explain(model, x, "integrated_gradients", place).values
        torch.testing.assert_close(found, values, rtol=0, atol=1e-12)
    assert explain(model, x, "grad_cam").method == "grad_cam@conv2"
    assert torch.compiler.is_compiling() is False


def test_anomaly_detection_is_not_paid_for_and_still_on_afterwards() -> None:
    model, inside = nn.Linear(3, 2), []
    model.register_forward_hook(lambda *_: inside.append(torch.is_anomaly_enabled()))
    with pytest.warns(UserWarning, match="Anomaly Detection"):
        detecting = torch.autograd.detect_anomaly()
    with detecting:
        explain(model, torch.randn(2, 3), target=0)
        assert torch.is_anomaly_enabled()
    assert inside
    assert not any(inside)


def test_borrowing_nests() -> None:
    model = nn.Dropout()
    with borrowed(model):
        with borrowed(model):
            assert not model.training
        assert not model.training
    assert model.training


def test_recurrent_layers_are_explained_without_cudnn() -> None:
    model, seen = BY_NAME["recurrent"].model(), []
    model.lstm.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.enabled))
    before = torch.backends.cudnn.enabled
    explain(model, BY_NAME["recurrent"].inputs())
    assert seen
    assert not any(seen)
    assert torch.backends.cudnn.enabled == before


def test_optimizers_do_not_notice() -> None:
    def train(explained: bool) -> dict[str, Any]:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2))
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(3):
            loss = model(torch.randn(8, 3)).square().mean()
            loss.backward()
            if explained:
                explain(model, torch.ones(2, 3), "smoothgrad", target=0)
            optimizer.step()
        return model.state_dict()

    for left, right in zip(train(False).values(), train(True).values(), strict=True):
        assert torch.equal(left, right)


def test_a_graph_that_waits_for_its_backward_pass_is_not_disturbed() -> None:
    model = BY_NAME["cnn"].model().train()
    loss = model(BY_NAME["cnn"].inputs()).square().sum()
    explain(model, BY_NAME["cnn"].inputs(), "integrated_gradients")
    loss.backward()
    assert model.conv1.weight.grad.abs().max() > 0


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match=r"A model is a torch.nn.Module, got function; wrap it in a Module"):
        explain(lambda x: x, torch.ones(2, 3), target=0)


def test_parameters_made_in_inference_mode_are_put_back() -> None:
    with torch.inference_mode():
        model = nn.Linear(3, 2)
    with borrowed(model):
        assert not model.weight.requires_grad
    assert model.weight.requires_grad


@pytest.mark.parametrize("before", [True, False])
def test_encoders_run_the_same_code_with_and_without_a_graph(before: bool) -> None:
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2).eval()
    x, padding = torch.randn(3, 5, 4), torch.zeros(3, 5, dtype=torch.bool)
    padding[1, 3:] = True
    kept = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(before)
    try:
        with borrowed(encoder):
            with_graph = encoder(x.requires_grad_(), src_key_padding_mask=padding)
            with torch.no_grad():
                without = encoder(x, src_key_padding_mask=padding)
        assert torch.backends.mha.get_fastpath_enabled() == before
    finally:
        torch.backends.mha.set_fastpath_enabled(kept)
    torch.testing.assert_close(with_graph, without, rtol=0, atol=1e-6)
    assert without[1, 3:].abs().max() > 0
