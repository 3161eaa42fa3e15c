import torch
from torch import nn

from lightning_explain.robust import FGSM, L2, Bounds, LInf, perturb

X = torch.tensor([[0.2, -0.4, 0.9], [0.5, 0.5, -0.5]])
WEIGHT = torch.tensor([[1.0, -2.0, 0.0], [0.5, 1.0, 0.0]])


def linear():
    model = nn.Linear(3, 2, bias=False)
    model.weight.data = WEIGHT.clone()
    return model


def test_of_two_classes_of_a_linear_model():
    """The cross entropy of class 0 grows along w1 - w0, wherever one is."""
    expected = X + 0.25 * torch.tensor([-1.0, 1.0, 0.0])
    torch.testing.assert_close(perturb(linear(), X, FGSM(0.25), target=0), expected)
    torch.testing.assert_close(perturb(linear(), X, FGSM(0.25, targeted=True), target=1), expected)
    torch.testing.assert_close(perturb(linear(), X, FGSM(0.25, targeted=True), target=0), 2 * X - expected)


def test_the_loss_changes_by_the_dual_norm():
    """Of a linear loss, by epsilon times the 1-norm of its gradient: the most that any such change can do (2014, 3)."""
    weight = torch.tensor([1.0, -2.0, 0.5])
    moved = perturb(linear(), X, FGSM(0.1), target="output", loss=lambda out, _: out, forward=lambda _, x: x @ weight)
    torch.testing.assert_close(moved @ weight - X @ weight, torch.full((2,), 0.1 * 3.5))


def test_a_step_along_the_gradient_itself():
    moved = perturb(linear(), X, FGSM(0.5, norm=L2()), target=0)
    direction = torch.tensor([-0.5, 3.0, 0.0])
    torch.testing.assert_close(moved, X + 0.5 * direction / direction.norm())


def test_bounds_and_sizes_for_each_element():
    moved = perturb(linear(), X, FGSM(torch.tensor([0.0, 1.0, 5.0]), bounds=Bounds(-0.45, 0.8)), target=0)
    torch.testing.assert_close(moved, torch.tensor([[0.2, 0.6, 0.8], [0.5, 0.8, -0.45]]))


def test_small_gradients_count_unless_told_otherwise():
    model = linear()
    model.weight.data *= 1e-8
    assert float((perturb(model, X, FGSM(0.25), target=0) - X).abs().max()) > 0.2
    assert torch.equal(perturb(model, X, FGSM(0.25, norm=LInf(threshold=1e-6)), target=0), X)
