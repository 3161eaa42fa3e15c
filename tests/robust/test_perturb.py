import pytest
import torch
from metrics.evaluations import TARGET, Pair, Picture, pictures, rows
from torch import nn

from lightning_explain.robust import FGSM, PGD, perturb


class Trained(nn.Module):
    """Everything that an attack could change: statistics, dropout, gradients."""

    def __init__(self, fails=False):
        super().__init__()
        self.fails, self.runs = fails, 0
        self.norm, self.drop, self.head = nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)

    def forward(self, x):
        self.runs += 1
        if self.fails and self.runs > 2:
            raise RuntimeError("planted failure")
        return self.head(self.drop(self.norm(x.mul_(2))))


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_everything_is_left_as_it_was(mode, fails):
    model = Trained(fails).train()
    model.norm.eval()
    model.head.bias.requires_grad_(False)
    model.head.weight.grad = grad = torch.ones_like(model.head.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    with mode():
        x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
        kept = x.clone()
        if fails:
            with pytest.raises(RuntimeError, match="planted failure"):
                perturb(model, x, PGD(0.1, 0.1, 3), target=0)
        else:
            moved = perturb(model, x, PGD(0.1, 0.1, 3), target=0)
            assert not torch.equal(moved, x)
        assert torch.equal(x, kept)
    assert not x.requires_grad
    assert torch.equal(torch.get_rng_state(), state)
    assert model.head.weight.grad is grad
    assert model.runs == 0  # an attribute of the module, put back as well
    assert [model.training, model.norm.training, model.drop.training] == [True, False, True]
    assert [p.requires_grad for p in model.parameters()] == [True, True, True, False]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not any(module._forward_hooks for module in model.modules())


def test_chunks_do_not_matter():
    model, x = Picture(), pictures()
    whole = perturb(model, x, PGD(0.3, 0.1, 3, seed=4), TARGET)
    for max_rows in (1, 3):
        torch.testing.assert_close(perturb(model, x, PGD(0.3, 0.1, 3, seed=4), TARGET, max_rows=max_rows), whole)


def test_rows_are_counted():
    seen, model = [], Picture()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))
    perturb(model, pictures(), PGD(0.3, 0.1, 5), TARGET, max_rows=3)
    assert sum(seen) == 4 + 5 * 4  # the outputs, which the target is read from, and a row for each step
    assert max(seen) == 3


def test_targets_by_name():
    model, x = Picture(), pictures()
    predicted = model(x).argmax(dim=1)
    assert torch.equal(perturb(model, x, FGSM(0.1)), perturb(model, x, FGSM(0.1), predicted))
    assert torch.equal(perturb(model, x, FGSM(0.1), "label", label=TARGET), perturb(model, x, FGSM(0.1), TARGET))


def test_structures_and_integers():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(5, 3), nn.Linear(3, 2)

        def forward(self, ids, scale):
            return self.head(self.table(ids).mean(dim=1) * scale)

    inputs = {"ids": torch.tensor([[0, 1], [2, 3]]), "scale": torch.ones(2, 3)}
    moved = perturb(
        Tokens(), inputs, FGSM(0.1), target=0, mask={"ids": torch.ones(1), "scale": torch.tensor([1, 0, 1])}
    )
    assert list(moved) == ["ids", "scale"]
    assert torch.equal(moved["ids"], inputs["ids"])
    assert (moved["scale"] - 1).abs().gt(0.05).tolist() == [[True, False, True]] * 2
    two = perturb(Pair(), (pictures(), rows()), FGSM(0.1), TARGET)
    assert isinstance(two, tuple)
    assert [leaf.shape for leaf in two] == [pictures().shape, rows().shape]
    with pytest.raises(TypeError, match="There is nothing to move: input hold integers"):
        perturb(
            nn.Sequential(nn.Embedding(5, 3), nn.Flatten()), torch.ones(2, 2, dtype=torch.long), FGSM(0.1), target=0
        )


def test_losses_of_ones_own_get_the_targets_they_expect():
    model, x = Picture(), pictures()
    default = perturb(model, x, PGD(0.2, 0.1, 2), TARGET)
    for reduction in ("none", "mean", "sum"):
        loss = nn.CrossEntropyLoss(reduction=reduction)
        torch.testing.assert_close(perturb(model, x, PGD(0.2, 0.1, 2), TARGET, loss=loss), default)
    got = []

    def positions(outputs, target):
        got.append(target.tolist())
        return outputs.sum()

    index = torch.tensor([[0, 1], [1, 0], [2, 1], [0, 0]])
    forward = lambda model, x: model(x)[:, :, None].expand(-1, -1, 2)  # noqa: E731
    perturb(model, x, FGSM(0.1), index, loss=positions, forward=forward, max_rows=4)
    assert got == [index.tolist()]
    with pytest.raises(ValueError, match="The target 'output' has no loss: pass loss="):
        perturb(model, x, FGSM(0.1), "output", forward=lambda model, x: model(x)[:, 0])


def test_half_precision():
    model, x = Picture(), pictures()
    moved = perturb(model.bfloat16(), x.bfloat16(), PGD(0.5, 0.25, 2), TARGET)
    assert moved.dtype == torch.bfloat16
    exact = perturb(Picture(), x, PGD(0.5, 0.25, 2), TARGET)
    assert float(((moved.double() - exact).abs() < 0.02).double().mean()) > 0.9


def test_bad_input_is_named():
    model, x = Picture(), pictures()
    with pytest.raises(TypeError, match=r"An attack is one such as FGSM\(epsilon=0\.1\), got FGSM"):
        perturb(model, x, FGSM)
    with pytest.raises(TypeError, match="A loss is a tensor, a number for each row or their sum or mean, got float"):
        perturb(model, x, FGSM(0.1), TARGET, loss=lambda *_: 3.0)
    with pytest.raises(ValueError, match="An attack must keep the shapes of its inputs"):
        perturb(model, x[:1], FGSM(torch.full((3, 1, 1, 1), 0.1)), target=0)
    with pytest.raises(TypeError, match="An attack is one such as FGSM"):
        perturb(model, x, "fgsm")
    with pytest.raises(ValueError, match=r"input holds NaN or infinity in 1 sample\(s\), the first is sample 2"):
        perturb(model, x.index_fill(0, torch.tensor([2]), torch.nan), FGSM(0.1))
    with pytest.raises(ValueError, match=r"Target \[9\] of sample 0 is out of range"):
        perturb(model, x, FGSM(0.1), 9)
