"""A forward pass ends at a layer, where nobody asks for what lies behind it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_explain import (
    Activation,
    DeepLift,
    FeatureAblation,
    IntegratedGradients,
    Layer,
    Layers,
    Neuron,
    Saliency,
    explain,
)
from lightning_explain.attribution.engine import pose

SAMPLES = 4


class Stages(nn.Module):
    """A stem, a middle and a head; ``skips`` is filled in front, and emptied at the end of each pass."""

    def __init__(self, *, keeps: bool = False) -> None:
        super().__init__()
        self.keeps, self.skips, self.seen = keeps, list[Tensor](), list[int]()
        self.stem, self.middle = nn.Sequential(nn.Linear(3, 5), nn.Tanh()), nn.Linear(5, 5)
        self.behind, self.head = nn.Sequential(nn.Tanh(), nn.Linear(5, 5), nn.Tanh()), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        if self.keeps:
            self.skips.append(h)
        h = self.behind(self.middle(h))
        if self.keeps:
            h = h + self.skips[0]
            self.skips.clear()
        return self.head(h)


def made(make: Callable[..., nn.Module] = Stages, **kwargs: Any) -> nn.Module:
    torch.manual_seed(0)
    return make(**kwargs).double()


def drawn() -> Tensor:
    return torch.randn(SAMPLES, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def rows_through(module: nn.Module) -> list[int]:
    seen: list[int] = []
    module.register_forward_hook(lambda _module, args, _out: seen.append(len(args[0])))
    return seen


METHODS = [Saliency(), IntegratedGradients(20), DeepLift(), FeatureAblation()]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_behind_a_neuron_only_the_outputs_are_computed(method: Any) -> None:
    model, x = made(), drawn().repeat(8, 1)
    neuron = Neuron("middle", 2)
    alone = nn.Sequential(model.stem, model.middle)
    behind = rows_through(model.behind)
    found = explain(model, x, method, neuron)
    assert sum(behind) == len(x) + (method == DeepLift())  # which runs the baseline as far as the samples
    assert torch.equal(found.outputs, model(x).detach())
    torch.testing.assert_close(found.values, explain(alone, x, method, target=2).values, rtol=0, atol=1e-12)


@pytest.mark.parametrize("place", [Layer("middle"), Layers(["stem", "middle"])], ids=str)
def test_behind_a_layer_its_baseline_is_not_run(place: Any) -> None:
    model, x = made(), drawn().repeat(8, 1)
    behind = rows_through(model.behind)
    problem = pose(model, x, 1, baseline=x.flip(0)).at(place)
    expected = model.middle(model.stem(problem.baseline))
    behind.clear()
    torch.testing.assert_close(problem.z0[-1], expected.detach(), rtol=0, atol=1e-14)
    assert not behind


def test_the_input_of_a_layer_ends_the_pass_before_it() -> None:
    model, x = made(), drawn().repeat(8, 1)
    middle = rows_through(model.middle)
    problem = pose(model, x, 1, baseline=x.flip(0)).at(Layer("middle", of="input"))
    middle.clear()
    torch.testing.assert_close(problem.z0[0], model.stem(x.flip(0)).detach(), rtol=0, atol=1e-14)
    assert not middle


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("place", [Neuron("middle", 2), Layer("middle"), Layer("stem")], ids=str)
def test_a_model_that_clears_at_the_end_what_it_keeps_runs_to_the_end(method: Any, place: Any) -> None:
    model, x = made(keeps=True), drawn()

    class Without(Stages):
        def forward(self, x: Tensor) -> Tensor:
            h = self.stem(x)
            return self.head(self.behind(self.middle(h)) + h)

    same = made(Without)
    found, expected = (explain(each, x, method, place, 1, max_rows=3) for each in (model, same))
    torch.testing.assert_close(found.values, expected.values, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.outputs, expected.outputs, rtol=0, atol=1e-12)
    assert model.skips == []


def test_a_hook_of_what_the_layer_is_part_of_sees_every_pass() -> None:
    model, x = made(), drawn()
    whole = rows_through(model)
    explain(model, x, IntegratedGradients(20), Neuron("middle", 2))
    assert sum(whole) >= 20 * SAMPLES


def test_a_hook_of_an_inner_module_around_the_layer_sees_every_pass() -> None:
    model, x = nn.Sequential(made(), nn.Identity(), nn.Tanh()), drawn()
    inner = rows_through(model[0])
    explain(model, x, IntegratedGradients(20), Neuron("0.middle", 2))
    assert sum(inner) >= 20 * SAMPLES


def test_somebody_elses_forward_function_is_run_to_its_end() -> None:
    model, x, done = made(), drawn(), list[int]()
    forward = model.forward

    def around(x: Tensor) -> Tensor:
        out = forward(x)
        done.append(len(x))
        return out

    model.forward = around
    explain(model, x, IntegratedGradients(20), Neuron("middle", 2))
    assert sum(done) >= 20 * SAMPLES


def test_a_wrapper_for_several_devices_is_run_to_its_end() -> None:
    model, x = made(), drawn()
    behind = rows_through(model.behind)
    wrapped = nn.DataParallel(model)
    found = explain(wrapped, x, Saliency(), Neuron("module.middle", 2), max_rows=2)
    assert set(behind) == {2}
    assert torch.equal(found.values, explain(model, x, Saliency(), Neuron("middle", 2), max_rows=2).values)


def test_the_last_run_of_a_layer_is_waited_for() -> None:
    class Twice(Stages):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.behind(self.middle(self.middle(self.stem(x)))))

    model, x = made(Twice), drawn()
    z = model.stem(x).detach()
    assert torch.equal(explain(model, x, Activation(), Layer("middle", call=-1)).values, model.middle(model.middle(z)))
    assert torch.equal(pose(model, x, 1).at(Layer("middle", call=1)).z[0], model.middle(model.middle(z)))
    assert torch.equal(pose(model, x, 1).at(Layer("middle")).z[0], model.middle(z))


def test_a_model_that_catches_everything_goes_on() -> None:
    class Stubborn(Stages):
        def forward(self, x: Tensor) -> Tensor:
            try:
                h = self.middle(self.stem(x))
            except BaseException:  # noqa: BLE001
                h = torch.zeros(len(x), 5, dtype=x.dtype)
            return self.head(self.behind(h))

    model, x = made(Stubborn), drawn()
    alone = nn.Sequential(model.stem, model.middle)
    found = explain(model, x, IntegratedGradients(20), Neuron("middle", 2))
    expected = explain(alone, x, IntegratedGradients(20), target=2)
    torch.testing.assert_close(found.values, expected.values, rtol=0, atol=1e-12)
    assert torch.equal(found.outputs, model(x).detach())


def test_an_error_in_front_of_the_layer_is_the_users() -> None:
    model = made()
    model.stem[1].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("broken")))
    with pytest.raises(RuntimeError, match="broken"):
        explain(model, drawn(), Saliency(), Neuron("middle", 2))


class Shelf:
    """Somebody's object, no module: what it keeps is out of a module's sight."""

    def __init__(self) -> None:
        self.kept = list[Tensor]()


class Lending(Stages):
    """Keeps what it skips in an object, from the middle on."""

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Shelf()

    def forward(self, x: Tensor) -> Tensor:
        h = self.middle(self.stem(x))
        self.shelf.kept.append(h)
        h = self.behind(h) + self.shelf.kept[0]
        self.shelf.kept.clear()
        return self.head(h)


def test_what_a_model_keeps_in_an_object_of_its_own_is_seen() -> None:
    class Without(Stages):
        def forward(self, x: Tensor) -> Tensor:
            h = self.middle(self.stem(x))
            return self.head(self.behind(h) + h)

    model, x, place = made(Lending), drawn(), Neuron("behind.1", 2)
    found, expected = (explain(each, x, IntegratedGradients(20), place) for each in (model, made(Without)))
    torch.testing.assert_close(found.values, expected.values, rtol=0, atol=1e-12)
    assert model.shelf.kept == []


def test_each_layer_is_tried_by_itself() -> None:
    model, x = made(keeps=True), drawn().repeat(8, 1)  # in front of the first layer nothing is kept
    problem = pose(model, x, 1, baseline=x.flip(0)).at(Layer("stem.0"))
    torch.testing.assert_close(problem.z0[0], model.stem[0](x.flip(0)).detach())
    torch.testing.assert_close(problem.at(Layer("middle")).z0[0], model.middle(model.stem(x.flip(0))).detach())
    assert model.skips == []


def test_a_buffer_that_a_pass_writes_to_stays_as_its_gradient_needs_it() -> None:
    class Counting(Stages):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.ones(5))

        def forward(self, x: Tensor) -> Tensor:
            h = self.stem(x) * self.scale.fill_(2)
            return self.head(self.behind(self.middle(h)))

    model, x = made(Counting), drawn()
    assert torch.isfinite(explain(model, x, IntegratedGradients(20), Neuron("middle", 2)).values).all()
    assert torch.equal(model.scale, torch.ones(5, dtype=torch.float64))


def test_a_hook_of_all_modules_sees_every_pass() -> None:
    model, x, inside = made(), drawn(), list[nn.Module]()
    every = nn.modules.module
    handles = [
        every.register_module_forward_pre_hook(lambda module, _args: inside.append(module)),
        every.register_module_forward_hook(lambda _module, _args, _out: inside.pop() and None),
    ]
    try:
        explain(model, x, IntegratedGradients(20), Neuron("middle", 2))
    finally:
        for handle in handles:
            handle.remove()
    assert inside == []


@pytest.mark.parametrize("name", ["part.0", "alias.0", "lent"])
def test_a_hook_around_a_layer_with_several_names_sees_every_pass(name: str) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lent = nn.Linear(3, 3)
            self.part = nn.Sequential(self.lent, nn.Tanh(), nn.Linear(3, 3))
            self.alias, self.head = self.part, nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.part(x))

    model, x = made(Named), drawn()
    part = rows_through(model.part)
    explain(model, x, IntegratedGradients(20), Neuron(name, 2))
    assert sum(part) >= 20 * SAMPLES
