import pytest
import torch

from lightning_explain.robust import FGSM, Bounds, LInf
from lightning_explain.robust.attack import Attack, ahead, carried_out, require_size


def test_bounds_may_be_tensors_and_numbers():
    x = torch.tensor([[-2.0, 0.5, 3.0], [0.0, 0.0, 0.0]])
    lower = torch.tensor([0.0, 1.0, -1.0])
    assert Bounds(lower, 2.0)(x).tolist() == [[0, 1, 2], [0, 1, 0]]
    assert Bounds(upper=lower)(x).tolist() == [[-2, 0.5, -1], [0, 0, -1]]
    assert torch.equal(Bounds()(x), x)


def test_bounds_are_in_order():
    with pytest.raises(ValueError, match=r"must not be above the upper one, got 1 and 0"):
        Bounds(1, 0)
    with pytest.raises(ValueError, match=r"must not be above the upper one, got a tensor \(2,\) and 2.0"):
        Bounds(torch.tensor([0.0, 3.0]), 2.0)


@pytest.mark.parametrize(("size", "error", "message"), [
    (-0.1, ValueError, r"epsilon must be numbers from 0 up, got -0\.1; an attack turns round with targeted=True"),
    (float("nan"), ValueError, "epsilon must be numbers from 0 up, got nan"),
    (torch.tensor([1.0, -1.0]), ValueError, r"got a tensor \(2,\)"),
    ("1", TypeError, "epsilon must be a number, got '1'"),
])  # fmt: skip
def test_sizes_are_checked(size, error, message):
    with pytest.raises(error, match=message):
        require_size("epsilon", size)
    with pytest.raises(error, match=message):
        FGSM(size)


def test_a_step_holds_what_is_not_free():
    x = (torch.zeros(2, 2), torch.ones(2, 3))
    free = (torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 3))
    got = ahead(lambda z: tuple(torch.full_like(leaf, -torch.inf) for leaf in z), x, 0.5, LInf(), free)
    assert got[0].tolist() == [[-0.5, 0], [0, -0.5]]
    assert torch.equal(got[1], x[1])


def test_what_is_not_an_attack():
    assert isinstance(FGSM(1), Attack)
    assert not isinstance(lambda slope, x, free: x, Attack)


def test_the_model_sees_its_own_type_and_small_steps_add_up():
    """In bfloat16, 1 + 0.001 is 1 again."""
    seen = []

    class Creeping:
        targeted = False

        def __call__(self, slope, x, free):
            for _ in range(20):
                x = ahead(slope, x, 0.001, LInf(), free)
            return x

    def slope(z):
        seen.append(z[0].dtype)
        return (torch.ones(2, 2),)

    x = torch.ones(2, 2, dtype=torch.bfloat16, requires_grad=True)
    (got,) = carried_out(Creeping(), slope, (x,), (torch.ones(2, 2),))
    assert seen == [torch.bfloat16] * 20
    assert got.dtype == torch.bfloat16
    assert not got.requires_grad
    assert float(got.detach().max()) == pytest.approx(1.02, abs=0.005)


def test_results_are_nobody_elses_memory():
    x = torch.zeros(2, 2)
    (got,) = carried_out(FGSM(0.0), lambda z: z, (x,), (torch.ones(2, 2),))
    got += 1
    assert float(x.abs().sum()) == 0
