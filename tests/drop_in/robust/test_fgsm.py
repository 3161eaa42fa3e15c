import warnings

import captum.robust
import pytest
import torch
from torch import nn

from lightning_explain.captum import robust
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError, SelectionError


class Net(nn.Module):
    """Positive outputs (n, 3), or (n, 3, 2); from one or two inputs, and scaled by what is passed besides."""

    def __init__(self, deep=False):
        super().__init__()
        torch.manual_seed(0)
        self.deep = deep
        self.first, self.second, self.head = nn.Linear(4, 5), nn.Linear(2, 5), nn.Linear(5, 6 if deep else 3)
        self.double().eval()

    def forward(self, x, *rest):
        tensors = [leaf for leaf in rest if torch.is_tensor(leaf) and leaf.shape[1:] == (2,)]
        hidden = self.first(x) + sum(self.second(leaf) for leaf in tensors)
        for factor in rest:
            hidden = hidden * factor.view(-1, 1) if torch.is_tensor(factor) and factor.ndim == 1 else hidden
            hidden = hidden * factor if isinstance(factor, float) else hidden
        out = self.head(torch.tanh(hidden)).exp()
        return out.view(-1, 3, 2) if self.deep else out


def inputs(two=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(3, size, generator=generator, dtype=torch.float64) for size in (4, 2))
    return (x, y) if two else x


LABELS = torch.tensor([0, 1, 2])


def masks(two=False):
    first, second = torch.tensor([1.0, 0.0, 1.0, 1.0]).expand(3, 4), torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    return (first, second) if two else first


def both(constructor, perturb, name="FGSM", model=None):
    """Ours and Captum's on the same inputs."""
    model = model or Net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = getattr(captum.robust, name)(model, **constructor).perturb(**perturb)
    return getattr(robust, name)(model, **constructor).perturb(**perturb), theirs


def agree(ours, theirs):
    assert type(ours) is type(theirs)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("loss", [None, nn.CrossEntropyLoss(reduction="none")])
@pytest.mark.parametrize("bounds", [{}, {"lower_bound": -0.5}, {"lower_bound": -0.7, "upper_bound": 0.4}])
def test_it_agrees_with_captum(two, masked, targeted, loss, bounds):
    settings = {"epsilon": 0.15, "target": torch.tensor([0, 2, 1]), "targeted": targeted}
    settings |= {"mask": masks(two)} if masked else {}
    ours, theirs = both({"loss_func": loss, **bounds}, {"inputs": inputs(two), **settings})
    agree(ours, theirs)
    assert not torch.equal(ours[0], inputs(two)[0])


@pytest.mark.parametrize("target", [1, torch.tensor(1), torch.tensor([2]), torch.tensor([0, 2, 1]), [0, 2, 1]])
def test_targets_of_classes(target):
    agree(*both({}, {"inputs": inputs(), "epsilon": 0.1, "target": target}))


@pytest.mark.parametrize("target", [(1, 0), [(0, 1), (2, 0), (1, 1)]])
def test_targets_of_positions(target):
    agree(*both({}, {"inputs": inputs(), "epsilon": 0.1, "target": target}, model=Net(deep=True)))


@pytest.mark.parametrize("further", [0.5, torch.tensor([1.0, -1.0, 2.0]), (torch.tensor([1.0, -1.0, 2.0]), 0.5, None)])
def test_further_arguments(further):
    agree(*both({}, {"inputs": inputs(), "epsilon": 0.1, "target": 1, "additional_forward_args": further}))


def test_one_number_for_each_sample_needs_no_target():
    model = lambda x: x.square().sum(dim=1) + 1  # noqa: E731
    agree(*both({}, {"inputs": inputs(), "epsilon": 0.1, "target": None}, model=model))


def test_a_tuple_of_one_stays_one():
    agree(*both({}, {"inputs": (inputs(),), "epsilon": 0.1, "target": 1, "mask": (masks(),)}))


def test_what_users_replace_is_used():
    made = [package.FGSM(Net()) for package in (robust, captum.robust)]
    for attack in made:
        attack.bound = lambda x: x.round()
        attack.zero_thresh = 0.02
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agree(*(attack(inputs(), 0.6, 1) for attack in made))
    assert bool((made[0](inputs(), 0.6, 1) == inputs().round()).any())


@pytest.mark.parametrize("targeted", [False, True])
def test_outputs_without_a_logarithm_are_warned_of(targeted):
    """The gradient of -log s changes sign with s, so that the attack helps the model there."""
    x = torch.tensor([[2.0, -9.0, 9.0], [1.0, 4.0, 0.0]])
    attack = robust.FGSM(nn.Identity())
    with pytest.warns(UserWarning, match=r"not positive: the attack then helps the model.*CrossEntropyLoss"):
        ours = attack.perturb(x, 0.1, 1, targeted=targeted)
    torch.testing.assert_close(
        ours, captum.robust.FGSM(nn.Identity()).perturb(x.requires_grad_(), 0.1, 1, targeted=targeted)
    )
    torch.testing.assert_close(ours[:, 1], torch.tensor([-9.1, 4.1] if targeted else [-8.9, 3.9]))


def test_losses_that_are_added_up_already():
    """Captum raises an IndexError on a loss without a batch dimension, torch's default."""
    each = robust.FGSM(Net(), nn.CrossEntropyLoss(reduction="none")).perturb(inputs(), 0.1, LABELS)
    for reduction in ("mean", "sum"):
        attack = robust.FGSM(Net(), nn.CrossEntropyLoss(reduction=reduction))
        torch.testing.assert_close(attack.perturb(inputs(), 0.1, LABELS), each)
    with pytest.raises(IndexError, match="invalid index of a 0-dim tensor"):
        both(
            {"loss_func": nn.CrossEntropyLoss()},
            {"inputs": inputs(), "epsilon": 0.1, "target": torch.tensor([0, 1, 2])},
        )


def test_fewer_masks_than_inputs_lose_no_input():
    """Captum gives as many inputs as there are masks."""
    settings = {"inputs": inputs(two=True), "epsilon": 0.1, "target": 1, "mask": (masks(),)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(captum.robust.FGSM(Net()).perturb(**settings)) == 1
    with pytest.raises(ValueError, match="Expected a mask for each of 2 inputs, got 1"):
        robust.FGSM(Net()).perturb(**settings)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("form", [lambda model: model, lambda model: model.forward, lambda model: lambda x: model(x)])
def test_nothing_is_left_behind(mode, form):
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3), nn.Softmax(dim=1)).train()
    if form(model) is not model and form(model) != model.forward:
        model.eval()  # what is behind a plain function is not known
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model[1].weight.grad = grad = torch.zeros_like(model[1].weight)
    state, training = torch.get_rng_state(), model.training
    with mode():
        x = inputs().float()
        moved = robust.FGSM(form(model)).perturb(x, 0.1, 1)
    assert not torch.equal(moved, inputs().float())
    assert torch.equal(x, inputs().float())
    assert not x.requires_grad
    assert not moved.requires_grad
    assert model.training == training
    assert model[1].weight.grad is grad
    assert float(grad.abs().max()) == 0
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_nothing_is_left_behind_where_the_model_fails():
    x, kept = inputs(), inputs().requires_grad_()

    def broken(*_):
        raise RuntimeError("planted failure")

    for leaf in (x, kept):
        with pytest.raises(RuntimeError, match="planted failure"):
            robust.FGSM(broken).perturb(leaf, 0.1, 1)
    assert (x.requires_grad, kept.requires_grad) == (False, True)
    assert kept.grad is None


def test_results_have_no_graph():
    assert not robust.FGSM(Net()).perturb(inputs().requires_grad_(), 0.1, 1).requires_grad


def test_half_precision_and_traced_models():
    model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1)).bfloat16()
    moved = robust.FGSM(model).perturb(inputs().bfloat16(), 0.5, 1)
    assert moved.dtype == torch.bfloat16
    exact = robust.FGSM(model.float()).perturb(inputs().float(), 0.5, 1)
    torch.testing.assert_close(moved.float(), exact, atol=0.02, rtol=0)
    traced = torch.jit.trace(model, torch.randn(3, 4))
    torch.testing.assert_close(robust.FGSM(traced).perturb(inputs().float(), 0.5, 1), exact)


def test_integers_stay():
    table = nn.Embedding(5, 4).double()
    x, ids = inputs(), torch.tensor([0, 1, 2])
    moved = robust.FGSM(lambda x, ids: (x * table(ids)).exp()).perturb((x, ids), 0.1, 1)
    assert torch.equal(moved[1], ids)
    assert not torch.equal(moved[0], x)
    with pytest.raises(ArgumentTypeError, match="No input is of floating point"):
        robust.FGSM(table).perturb(ids, 0.1, 1)


def test_bad_arguments_raise_what_captum_raises_and_the_right_kind():
    attack = robust.FGSM(Net())
    for bad in ([inputs()], "x", (inputs(), 3)):
        with pytest.raises(ArgumentTypeError, match="Inputs are a tensor or a tuple of tensors, got"):
            attack.perturb(bad, 0.1, 1)
    with pytest.raises(ArgumentError, match=r"The output has several numbers for each row, shape \(3, 3\); a target"):
        attack.perturb(inputs(), 0.1, None)
    for target in (7, (1, 1), [1, 2, 7]):
        with pytest.raises(SelectionError, match=r"[Tt]arget"):
            attack.perturb(inputs(), 0.1, target)
    with pytest.raises(ArgumentError, match="one target for each of 3 samples, got 2"):
        attack.perturb(inputs(), 0.1, [1, 2])
    assert issubclass(ArgumentTypeError, (TypeError,))
    assert issubclass(ArgumentTypeError, AssertionError)
    assert issubclass(ArgumentError, ValueError)
    assert issubclass(ArgumentError, AssertionError)
    assert issubclass(SelectionError, IndexError)
    assert issubclass(SelectionError, AssertionError)
    with pytest.raises(ValueError, match="epsilon must be numbers from 0 up, got -1"):
        attack.perturb(inputs(), -1, 1)
