from functools import partial

import pytest
import torch
from torch import Tensor, nn

from lightning_explain.captum.errors import ArgumentTypeError
from lightning_explain.captum.host import Host, as_module, owner_of, seed


class Callable:
    """Has a method, and is no module."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_what_a_function_belongs_to_is_found() -> None:
    model = nn.Linear(2, 1)
    for function in (model, model.forward, partial(model.forward), partial(partial(model), torch.ones(1, 2))):
        assert owner_of(function) is model
    for function in (lambda x: x, len, Callable().forward, partial(torch.add, 1)):
        assert owner_of(function) is None


def test_a_host_holds_what_is_run_and_the_layers_by_name() -> None:
    model = nn.Linear(2, 1)
    host = Host(model.forward, [model, nn.ReLU()])
    assert dict(host.named_children()).keys() == {"layer0", "layer1"}  # a module that stands twice is named once
    assert host.get_submodule("layer0") is host.get_submodule("owner") is model
    assert [Host.name(number) for number in (0, 1)] == ["layer0", "layer1"]
    assert list(Host(lambda x: x).children()) == []


def test_modes_reach_what_is_run() -> None:
    model, beside = nn.Sequential(nn.Dropout()), nn.Dropout()
    Host(model.forward, [beside]).eval()
    assert not model[0].training
    assert not beside.training


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="a module or a function, got int"):
        Host(3)
    with pytest.raises(ArgumentTypeError, match=r"A layer is a torch.nn.Module, got str"):
        Host(nn.ReLU(), ["conv1"])


def test_layers_are_called_what_the_user_calls_them() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
    host = Host(model, [model[1][0], nn.Linear(1, 1)])
    assert host.in_words("'layer0' comes before 'layer1'") == "'1.0' comes before 'Linear'"
    assert Host(lambda x: x, [model[0]]).in_words("'layer0' is missing") == "'Linear' is missing"
    assert host.in_words("layer0 without quotes") == "layer0 without quotes"


def test_the_seed_follows_from_torchs_and_moves_nothing() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = seed()
    assert seed() == first < 2**32  # NumPy takes no larger one
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert seed() != first


def test_methods_that_change_operators_want_a_module() -> None:
    model = nn.ReLU()
    assert as_module(model) is model
    with pytest.raises(ArgumentTypeError, match=r"The model is a torch.nn.Module, got method"):
        as_module(model.forward)
