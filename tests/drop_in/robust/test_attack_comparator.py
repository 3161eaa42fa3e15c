import warnings
from collections import namedtuple

import captum.robust
import pytest
import torch
from torch import nn

from lightning_explain.captum import robust

Scores = namedtuple("Scores", ("right", "margin"))

NET = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
BATCHES = [torch.randn(n, 3, generator=torch.Generator().manual_seed(n), dtype=torch.float64) for n in (4, 2)]
LABELS = [torch.tensor([0, 1, 2, 0]), torch.tensor([2, 2])]


def right(out, labels):
    return (out.argmax(dim=1) == labels).float()


def margin(out, labels, scale=1.0):
    return scale * out.gather(1, labels[:, None])[:, 0]


METRICS = {
    "tensor": margin,
    "number": lambda out, labels: margin(out, labels).sum().item(),
    "whole batch": lambda out, labels: margin(out, labels).sum()[None],
    "tuple": lambda out, labels: (right(out, labels), margin(out, labels)),
    "named tuple": lambda out, labels: Scores(right(out, labels), margin(out, labels).sum().item()),
}


class Growing:
    """Another perturbation at each call, in turn."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x, scale=1.0, labels=None):
        self.calls += 1
        x = x + scale * self.calls % 7
        return x if labels is None else x * (1 + labels[:, None])


def compared(package, metric, per_eval, before, attempts=3):
    comparator = package.AttackComparator(NET, METRICS[metric], preproc_fn=lambda x: x * 2 - 1)
    comparator.add_attack(Growing(), "growing", attempts, before, {"scale": 0.3}, ["labels"])
    comparator.add_attack(lambda x: -x, apply_before_preproc=before)
    results = []
    for x, labels in zip(BATCHES, LABELS, strict=True):
        results.append(comparator.evaluate(x, perturbations_per_eval=per_eval, labels=labels))
    return results, comparator.summary()


def agree(ours, theirs):
    assert set(ours) == set(theirs)
    for key in theirs:
        if isinstance(theirs[key], dict):
            agree(ours[key], theirs[key])
        elif isinstance(theirs[key], tuple):
            assert type(ours[key]).__name__ == type(theirs[key]).__name__
            assert getattr(ours[key], "_fields", None) == getattr(theirs[key], "_fields", None)
            for a, b in zip(ours[key], theirs[key], strict=True):
                torch.testing.assert_close(a, b)
        else:
            torch.testing.assert_close(ours[key], theirs[key])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("per_eval", [1, 2, 5, 40])
@pytest.mark.parametrize("metric", METRICS)
def test_it_agrees_with_captum(metric, per_eval, before):
    (ours, our_summary), (theirs, their_summary) = (
        compared(package, metric, per_eval, before) for package in (robust, captum.robust)
    )
    for a, b in zip(ours, theirs, strict=True):
        agree(a, b)
    agree(our_summary, their_summary)
    assert set(our_summary) == {"Original", "function", *(f"growing {k} Attempt" for k in ("Mean", "Max", "Min"))}


@pytest.mark.parametrize("per_eval", [1, 3])
def test_further_arguments_are_repeated(per_eval):
    model = lambda x, y, factor, unused: NET(x * y) * factor  # noqa: E731

    def evaluated(package):
        comparator = package.AttackComparator(model, margin)
        comparator.add_attack(lambda x: x + 1, "one")
        comparator.add_attack(lambda x: x - 1, "two")
        extra = (BATCHES[0] * 2, torch.tensor(0.5), None)
        return comparator.evaluate(BATCHES[0], extra, per_eval, labels=LABELS[0])

    agree(evaluated(robust), evaluated(captum.robust))


def test_attacks_of_this_package_and_raw_inputs():
    words = {"aaa": torch.ones(1, 3), "b": torch.zeros(1, 3)}

    def evaluated(package):
        comparator = package.AttackComparator(lambda x: NET(x.double()), margin, preproc_fn=words.__getitem__)
        comparator.add_attack(lambda _: "b", "other word")
        loss = nn.CrossEntropyLoss(reduction="none")
        attack = package.FGSM(lambda x: NET(x.double()), loss)
        comparator.add_attack(attack, "FGSM", 1, False, {"epsilon": 0.3, "target": LABELS[0][:1]})
        comparator.add_attack(package.PGD(lambda x: NET(x.double()), loss), None, 1, False, {
            "radius": 0.5, "step_size": 0.2, "step_num": 3, "target": LABELS[0][:1]
        })  # fmt: skip
        return comparator.evaluate("aaa", labels=LABELS[0][:1])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = evaluated(robust), evaluated(captum.robust)
    agree(ours, theirs)
    assert set(ours) == {"Original", "other word", "FGSM", "PGD"}


def test_random_starts_differ_between_attempts():
    comparator = robust.AttackComparator(NET, margin)
    settings = {"radius": 1.0, "step_size": 0.1, "step_num": 1, "random_start": True}
    attack = robust.PGD(NET, nn.CrossEntropyLoss(reduction="none"))
    comparator.add_attack(attack, "pgd", 4, attack_kwargs=settings | {"target": LABELS[0]})
    told = comparator.evaluate(BATCHES[0], labels=LABELS[0])["pgd"]
    assert bool((told["max"] > told["min"]).all())


def test_users_random_attacks_go_on_from_their_state_and_the_model_does_not_move_it():
    model = nn.Sequential(nn.Dropout(0.5), NET).train()
    drawn = []
    comparator = robust.AttackComparator(model, margin)
    comparator.add_attack(lambda x: drawn.append(torch.rand(1).item()) or x, "noise", 3)
    torch.manual_seed(5)
    expected = torch.rand(3).tolist()
    torch.manual_seed(5)
    told = comparator.evaluate(BATCHES[0], labels=LABELS[0])
    assert drawn == pytest.approx(expected)
    assert model.training
    torch.testing.assert_close(told["noise"]["max"], margin(NET(BATCHES[0]), LABELS[0]).detach())  # no dropout


def test_reset_and_names():
    comparator = robust.AttackComparator(NET, margin)
    comparator.add_attack(lambda x: x, "a")
    comparator.evaluate(BATCHES[0], labels=LABELS[0])
    comparator.reset()
    assert comparator.summary() == {}
    comparator.evaluate(BATCHES[1], labels=LABELS[1])
    expected = margin(NET(BATCHES[1]), LABELS[1]).mean().detach()
    torch.testing.assert_close(comparator.summary()["a"]["mean"], expected)
    with pytest.raises(RuntimeError, match="There is an attack 'a' already; pass another name="):
        comparator.add_attack(lambda x: x, "a")
    with pytest.raises(ValueError, match="num_attempts must be at least 1, got 0"):
        comparator.add_attack(lambda x: x, "b", num_attempts=0)
    with pytest.raises(TypeError, match="An attack is a function of the inputs, got int"):
        comparator.add_attack(3)


def test_missing_arguments_are_named():
    comparator = robust.AttackComparator(NET, lambda out: out)
    comparator.add_attack(lambda x: x, "a", additional_attack_arg_names=["labels"])
    with pytest.warns(UserWarning, match="The attack 'a' asks for 'labels', which was not passed"):
        comparator.evaluate(BATCHES[0])


def test_metrics_of_booleans():
    """Captum subtracts them."""

    def evaluated(package):
        comparator = package.AttackComparator(NET, lambda out: out[:, 0] > 0)
        comparator.add_attack(lambda x: -x, "a", 2)
        return comparator.evaluate(BATCHES[0])

    told = evaluated(robust)["a"]
    assert told["mean"].tolist() == [float(value) for value in NET(-BATCHES[0])[:, 0] > 0]
    with pytest.raises(RuntimeError, match="with a bool tensor is not supported"):
        evaluated(captum.robust)


def test_models_that_work_in_place():
    comparator = robust.AttackComparator(lambda x: NET(x.mul_(2)), margin)
    comparator.add_attack(lambda x: x, "a")
    x = BATCHES[0].clone()
    told = comparator.evaluate(x, labels=LABELS[0])
    assert torch.equal(x, BATCHES[0])
    torch.testing.assert_close(told["a"]["mean"], told["Original"])
    assert robust.AttackComparator[torch.Tensor] is not None
