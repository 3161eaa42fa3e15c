import pytest
import torch
from metrics.evaluations import TARGET, Picture, pictures
from torch import nn

from lightning_explain.robust import FGSM, PGD, minimal_perturbation, perturb

VALUES = [0.0, 0.1, 0.4, 0.8, 1.6, 3.2]


def sweep(model, x, target, attack, values, targeted=False):
    """Sample by sample, value by value."""
    found, inputs = [], x.clone()
    for i in range(len(x)):
        value = float("nan")
        for candidate in values:
            moved = perturb(model, x[i : i + 1], attack(candidate), target[i : i + 1])
            if (int(model(moved).argmax()) == int(target[i])) == targeted:
                value, inputs[i] = candidate, moved[0]
                break
        found.append(value)
    return torch.tensor(found, dtype=torch.float64), inputs


@pytest.mark.parametrize("targeted", [False, True])
def test_it_is_what_a_sweep_finds(targeted):
    model, x = Picture(), pictures(6)
    target = model(x).argmax(dim=1)
    target = (target + 1) % 3 if targeted else target

    def attack(radius):
        return PGD(radius, radius / 3, 4, targeted=targeted)

    got = minimal_perturbation(model, x, attack, VALUES, target)
    values, inputs = sweep(model, x, target, attack, VALUES, targeted)
    assert torch.equal(got.values.nan_to_num(-1), values.nan_to_num(-1))
    torch.testing.assert_close(got.inputs, inputs)
    assert len(set(values.nan_to_num(-1).tolist())) > 1


def test_of_a_linear_model_it_is_the_margin():
    """FGSM moves the margin by epsilon times the 1-norm of the weights' difference."""
    model = nn.Linear(2, 2, bias=False)
    model.weight.data = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    x = torch.tensor([[0.1, 0.1], [0.6, 0.1], [5.0, 5.0], [-1.0, -1.0]])
    grid = [0.01 * k for k in range(101)]
    got = minimal_perturbation(model, x, FGSM, grid, 0)
    assert got.values[:2].tolist() == pytest.approx([0.1, 0.35], abs=0.011)
    assert got.values[2].isnan()
    assert float(got.values[3]) == 0  # it was wrong before
    assert torch.equal(got.inputs[2:], x[2:])


def test_rows_are_those_of_a_bisection():
    seen, model = [], Picture()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))
    x = pictures()
    minimal_perturbation(model, x, FGSM, [0.001 * k for k in range(1, 64)], TARGET, max_rows=8)
    assert sum(seen) == 4 + 4 * 6 * 2  # outputs; six rounds of a gradient and a look at the result


def test_bad_input_is_named():
    model, x = Picture(), pictures()
    for values in ([0.2, 0.1], []):
        with pytest.raises(ValueError, match="values must be at least one number, and grow, each larger than the one"):
            minimal_perturbation(model, x, FGSM, values)
    with pytest.raises(TypeError, match=r"An attack is one such as FGSM\(epsilon=0\.1\), got FGSM"):
        minimal_perturbation(model, x, lambda _: FGSM, [0.1])
    with pytest.raises(TypeError, match=r"values must be several numbers, such as \(0\.1, 0\.2\), got 0\.1"):
        minimal_perturbation(model, x, FGSM, 0.1, TARGET)
    with pytest.raises(ValueError, match=r"told by the arg max of outputs \(n, classes\), got shape \(4,\)"):
        minimal_perturbation(model, x, FGSM, [0.1], "output", forward=lambda model, x: model(x)[:, 0])
