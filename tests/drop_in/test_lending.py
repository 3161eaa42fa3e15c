import functools
import random

import numpy as np
import pytest
import torch
from torch import nn

from lightning_explain.captum.errors import ArgumentTypeError
from lightning_explain.captum.lending import Call, as_point, kept, lent, unpacked
from lightning_explain.captum.repeating import Repetition

X = torch.arange(6.0).view(3, 2)


def test_points():
    assert as_point(X, "it") == (X,)
    assert as_point((X, X), "it") == (X, X)
    assert unpacked((X,)) is X
    assert unpacked((X, X)) == (X, X)
    for bad, said in (([X], "list"), ((X, 1), "a tuple with int"), ((), "a tuple with nothing"), (None, "NoneType")):
        with pytest.raises(ArgumentTypeError, match=f"It must be a tensor or a tuple of tensors, got {said}"):
            as_point(bad, "It")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen, self.drop, self.head = [], nn.Dropout(0.5), nn.Linear(2, 3, bias=False)

    def forward(self, x, factor=1.0):
        return self.head(self.drop(x)) * factor


@pytest.mark.parametrize("form", ["module", "method", "partial", "function"])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_functions_are_borrowed_as_far_as_they_are_known(form, mode):
    model = Net().train(form != "function")
    function = {
        "module": model,
        "method": model.forward,
        "partial": functools.partial(model, factor=2.0),
        "function": lambda x: model(x),
    }[form]
    state = torch.get_rng_state()
    with mode(), lent(function):
        x = X.clone().requires_grad_()
        out = function(x)
        assert out.requires_grad
        assert not model.training
    torch.testing.assert_close(out, model.head(X) * (2.0 if form == "partial" else 1.0))
    assert model.training == (form != "function")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("target", [1, (1,), [0, 2, 1], torch.tensor([0, 2, 1]), torch.tensor([2]), torch.tensor(2)])
@pytest.mark.parametrize("further", [(), (torch.tensor([[1.0], [2.0], [3.0]]),), (torch.tensor(2.0),), (0.5,)])
def test_scores_are_those_of_the_whole_batch(target, further):
    model, forty = Net().eval(), Repetition(40, 3)
    with torch.no_grad():
        out = model(X.repeat_interleave(40, dim=0), *forty.each(further))
    index = forty.target(target if not isinstance(target, tuple) else target[0])
    index = torch.as_tensor(index).expand(120) if torch.as_tensor(index).numel() == 1 else torch.as_tensor(index)
    seen = []
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))
    got = Call(model, further, target).repeated(forty).scores((X.repeat_interleave(40, dim=0),))
    torch.testing.assert_close(got, out[torch.arange(120), index])
    assert not got.requires_grad
    assert sum(seen) == 120
    assert len(seen) > 1  # in chunks


def test_what_does_not_go_with_the_rows_is_one_call():
    """Not every tensor has a row for each sample; then nobody can say which part goes with which rows."""
    seen = []
    model = Net().eval()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))
    Call(model, (torch.ones(1, 3),), 1).scores((X.repeat(40, 1),))
    assert seen == [120]
    calls = []
    Call(lambda x: calls.append(len(x)) or x, (), 1).scores((X.repeat(40, 1),))
    assert calls == [120]


def test_models_that_work_in_place_do_not_reach_the_inputs():
    x, extra = X.clone(), torch.ones(3, 2)
    Call(lambda x, extra: x.mul_(extra.add_(1)), (extra,), 1).scores((x,))
    assert torch.equal(x, X)
    assert torch.equal(extra, torch.ones(3, 2))


def test_what_gives_no_tensor():
    with pytest.raises(ArgumentTypeError, match="The forward function must give a tensor, got str: explain a"):
        Call(lambda x: "three").scores((X,))
    with pytest.raises(NotImplementedError, match="gives a future is not supported"):
        Call(lambda x: torch.futures.Future()).scores((X,))


def test_what_is_explained_is_found_as_by_the_methods():
    assert torch.equal(Call(lambda x: {"logits": x}, (), 1).scores((X,)), X[:, 1])
    assert torch.equal(Call(lambda: X, (), 1).scores((X,)), X[:, 1])  # a function that takes nothing
    assert Call(lambda _: 3.0, (), 1).selection((X,)).tolist() == 3.0


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_users_functions_go_on_in_their_surroundings(mode, fails):
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.rand(()) + random.random() + np.random.rand()

    model = Noisy().train()

    def drawn():
        return torch.rand(2).tolist(), [random.random()], [np.random.rand()]

    def block():
        modes.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
        first, told = drawn(), Call(model).scores((X,))
        assert not model.training
        if fails:
            raise KeyError("planted")
        return [first, drawn()], told

    modes = []
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    expected = [drawn(), drawn(), drawn()]
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    with mode():
        outside = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        if fails:
            with pytest.raises(KeyError, match="planted"), kept(model):
                block()
            assert drawn() == expected[1]
        else:
            with kept(model):
                got, told = block()
                torch.testing.assert_close(Call(model).scores((X,)), told)  # the model's numbers are its own
            assert [*got, drawn()] == expected
    assert modes == [outside]
    assert model.training
