import pytest
import torch

from lightning_explain.robust.slope import slope_at

X = torch.tensor([[1.0, -2.0], [0.5, 3.0]])


def test_a_mean_and_losses_for_each_row_differ_by_their_number():
    each = slope_at(lambda z: z[0].pow(3).sum(dim=1), (X,))[0]
    torch.testing.assert_close(each, 3 * X.square())
    torch.testing.assert_close(slope_at(lambda z: z[0].pow(3).sum(dim=1).mean(), (X,))[0], each / 2)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_it_works_in_every_mode(mode):
    with mode():
        x = X.clone()
        got = slope_at(lambda z: z[0].square().sum(dim=1), (x,))[0]
        torch.testing.assert_close(got, 2 * x)


def test_nothing_of_the_callers_is_touched():
    x, weight = X.clone().requires_grad_(), torch.ones(2, requires_grad=True)
    weight.grad = marked = torch.ones_like(weight)
    x.grad = kept = torch.full_like(x, 7)

    def losses(z):
        z[0].mul_(weight)  # in place
        return z[0].square().sum(dim=1)

    got = slope_at(losses, (x,))[0]
    assert x.grad is kept
    assert weight.grad is marked
    assert torch.equal(x.detach(), X)
    assert not got.requires_grad
    plain = X.clone()
    with pytest.raises(KeyError, match="planted"):
        slope_at(lambda _: {}["planted"], (plain,))
    assert not plain.requires_grad


def test_what_a_loss_does_not_see_has_no_slope():
    used, unused = slope_at(lambda z: z[0].sum(dim=1), (X, X.bfloat16()))
    assert torch.equal(used, torch.ones(2, 2))
    assert torch.equal(unused, torch.zeros(2, 2))
    assert unused.dtype == torch.float32
    for losses in (lambda z: z[0].detach().sum(dim=1), lambda z: torch.ones(2, requires_grad=True)):
        with pytest.raises(ValueError, match="The loss does not depend differentiably on the inputs"):
            slope_at(losses, (X,))
