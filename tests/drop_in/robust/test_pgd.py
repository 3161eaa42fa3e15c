import warnings

import captum.robust
import pytest
import torch
from torch import nn

from lightning_explain.captum import robust


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Linear(12, 5), nn.Linear(2, 5), nn.Linear(5, 3)
        self.double().eval()

    def forward(self, x, *rest):
        hidden = self.first(x.flatten(1)) + (self.second(rest[0]) if rest else 0)
        return torch.tanh(hidden).matmul(self.head.weight.T).softmax(dim=1)


def inputs(two=False):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(4, 3, 4, generator=generator), torch.randn(4, 2, generator=generator)
    return (x.double(), y.double()) if two else x.double()


def masks(two=False):
    first, second = (torch.arange(12).view(3, 4) % 3 > 0).double().expand(4, 3, 4), torch.eye(4)[:, :2]
    return (first, second) if two else first


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("bounds", [{}, {"lower_bound": -0.7, "upper_bound": 0.4}])
@pytest.mark.parametrize("loss", [None, nn.NLLLoss(reduction="none")])
def test_it_agrees_with_captum(two, masked, targeted, norm, bounds, loss):
    settings = {"radius": 0.3, "step_size": 0.13, "step_num": 4, "target": torch.tensor([0, 2, 1, 1]), "norm": norm}
    settings |= {"inputs": inputs(two), "targeted": targeted} | ({"mask": masks(two)} if masked else {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = captum.robust.PGD(Net(), loss, **bounds).perturb(**settings)
    ours = robust.PGD(Net(), loss, **bounds).perturb(**settings)
    assert type(ours) is type(theirs)
    # Captum's projection divides by the length + 1e-7.
    torch.testing.assert_close(ours, theirs, atol=1e-12 if norm == "Linf" else 1e-6, rtol=0)


def test_without_steps_inputs_are_as_they_were():
    ours = robust.PGD(Net(), lower_bound=0.0).perturb(inputs(), 0.3, 0.1, 0, 1)
    assert torch.equal(ours, inputs())


def test_small_gradients_are_left_alone_as_captum_does():
    attack = robust.PGD(Net())
    attack.fgsm.zero_thresh = 1e9
    assert torch.equal(attack.perturb(inputs(), 0.3, 0.1, 2, 1), inputs())
    assert not torch.equal(robust.PGD(Net()).perturb(inputs(), 0.3, 0.1, 2, 1), inputs())


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_random_starts(norm):
    model, x, free = Net(), inputs(), masks()
    order = torch.inf if norm == "Linf" else 2

    def starts(seed, calls=2):
        torch.manual_seed(seed)
        attack = robust.PGD(model, lower_bound=-1.0)
        settings = {"radius": 0.5, "step_size": 0.1, "step_num": 0, "target": 1, "random_start": True, "norm": norm}
        return [attack.perturb(x.clamp(min=-1), mask=free, **settings) - x.clamp(min=-1) for _ in range(calls)]

    first, second = starts(1)
    torch.testing.assert_close(starts(1), [first, second])
    assert not torch.equal(first, second)  # attempts differ
    assert not torch.equal(starts(2)[0], first)
    for change in (first, second):
        assert bool((change[free == 0] == 0).all())
        assert float(torch.linalg.vector_norm(change.flatten(1), order, dim=1).max()) <= 0.5 + 1e-12
        assert float((x.clamp(min=-1) + change).min()) >= -1
    state = torch.get_rng_state()
    moved = robust.PGD(model).perturb(x, 0.5, 0.1, 3, 1, random_start=True, norm=norm)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(moved, robust.PGD(model).perturb(x, 0.5, 0.1, 3, 1, norm=norm))


def test_captum_starts_wrongly_in_l2():
    """It gives radii to columns, not to rows: an error unless there are as many, or one row."""
    settings = {"radius": 0.5, "step_size": 0.1, "step_num": 0, "target": 1, "random_start": True, "norm": "L2"}
    with pytest.raises(RuntimeError, match="must match the size of tensor"):
        captum.robust.PGD(nn.Identity()).perturb(torch.ones(3, 4), **settings)
    x = torch.ones(3, 4)
    ours = robust.PGD(nn.Identity()).perturb(x, **settings)
    assert float((ours - x).norm(dim=1).max()) <= 0.5
    state = torch.get_rng_state()
    captum.robust.PGD(nn.Identity()).perturb(torch.ones(4, 4), **settings)
    assert not torch.equal(torch.get_rng_state(), state)


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
def test_outputs_without_a_logarithm_are_warned_of():
    x = torch.tensor([[2.0, -9.0, 9.0], [1.0, 4.0, 0.0]])
    with pytest.warns(UserWarning, match="not positive"):
        ours = robust.PGD(nn.Identity()).perturb(x, 0.25, 0.1, 3, 1)
    torch.testing.assert_close(ours, captum.robust.PGD(nn.Identity()).perturb(x, 0.25, 0.1, 3, 1))


@pytest.mark.parametrize("norm", ["L1", "l2", 2])
def test_there_is_no_other_norm(norm):
    with pytest.raises(AssertionError, match="norm must be 'Linf' or 'L2', got"):
        robust.PGD(Net()).perturb(inputs(), 0.3, 0.1, 2, 1, norm=norm)
    with pytest.raises(ValueError, match="norm must be"):
        robust.PGD(Net()).perturb(inputs(), 0.3, 0.1, 2, 1, norm=norm)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_modes_and_precision(mode):
    model, small = Net(), Net().bfloat16()
    expected = robust.PGD(model).perturb(inputs(), 0.3, 0.1, 3, 1)
    with mode():
        torch.testing.assert_close(robust.PGD(model).perturb(inputs(), 0.3, 0.1, 3, 1), expected)
        half = robust.PGD(small).perturb(inputs().bfloat16(), 0.3, 0.1, 3, 1, random_start=True, norm="L2")
    assert half.dtype == torch.bfloat16
    assert bool(half.isfinite().all())
