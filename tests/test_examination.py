import math

import pytest
import torch

from lightning_explain import ProbeSet, evaluate
from lightning_explain.examination import Agreement, Examination, Explained
from lightning_explain.metrics import Score


def explained(name, maps, space="", scores=None):
    return Explained(name, None, torch.tensor(maps, dtype=torch.float64), scores or {}, space)


def test_scores_of_a_class_are_those_of_its_samples():
    random = Score.of(torch.tensor([0.0, 4.0, 1.0, 5.0, 7.0]))
    score = Score.of(torch.tensor([1.0, 2.0, 3.0, 6.0, math.nan])).against(random, 10.0)
    drift = Score.of(torch.tensor([3.0, 1.0, 5.0, 2.0, 2.0]))
    entry = explained("saliency", [[0.0]], scores={"srg": score, "drift": drift})
    examination = Examination((entry,), {"random": {"srg": random}})
    label = torch.tensor([0, 2, 0, 2, 5])
    scores = examination.scores("a", label)
    whole = {"a/saliency/srg": score, "a/saliency/drift": drift, "a/random/srg": random}
    assert examination.scores("a") == whole
    assert set(scores) == {*whole, *(f"{name}/class_{c}" for name in whole for c in (0, 2, 5))}
    assert scores["a/saliency/srg/class_0"].mean == 2
    assert scores["a/saliency/srg/class_2"].mean == 4
    assert scores["a/saliency/srg/class_5"].n == 0
    assert scores["a/random/srg/class_2"].mean == 4.5
    # Measured against the same samples: 2 of 0.5 ... 10, and -0.5 of 4.5 ... 10.
    assert scores["a/saliency/srg/class_0"].skill == pytest.approx(1.5 / 9.5)
    assert scores["a/saliency/srg/class_2"].skill == pytest.approx(-0.5 / 5.5)
    assert scores["a/saliency/srg/class_2"].advantage == -0.5
    assert scores["a/saliency/drift/class_0"] == Score.of(torch.tensor([3.0, 5.0]))
    lines = examination.yardsticks("a", label)
    assert lines["a/saliency/srg/class_2"] == "a/random/srg/class_2"
    assert set(lines) == {name for name in scores if name.startswith("a/saliency/srg")}


def test_agreement_is_reckoned_once():
    maps = [[1.0, 2.0, 3.0]] * 2
    examination = Examination((explained("one", maps), explained("two", maps)), {})
    assert examination.agreement is examination.agreement


def test_agreement_is_told_for_each_place_with_several_methods():
    examination = Examination(
        (
            explained("up", [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]),
            explained("down", [[3.0, 2.0, 1.0], [0.5, 2.0, 3.0]]),
            explained("deep@conv", [[1.0, 2.0]] * 2, "@conv"),
            explained("dead", [[0.0, 0.0, 0.0]] * 2),
        ),
        {},
    )
    (table,) = examination.agreement
    assert table.methods == ("up", "down", "dead")
    assert table.correlations[0][:2] == pytest.approx((1, 0))  # the mean of -1 and 1
    assert table.correlations[1][:2] == pytest.approx((0, 1))
    assert all(math.isnan(c) for c in table.correlations[2])


def test_agreement_is_a_table_in_markdown():
    table = Agreement(("one", "two"), ((1.0, 0.25), (0.25, 1.0)))
    assert table.markdown.splitlines() == [
        "| rank correlation | one | two |",
        "|---|---|---|",
        "| one | 1.00 | 0.25 |",
        "| two | 0.25 | 1.00 |",
    ]


def test_agreement_of_a_real_model_is_the_mean_of_the_metric():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    probe = ProbeSet.from_tensors(torch.randn(5, 6), label=torch.tensor([0, 1, 2, 0, 1]))
    found = evaluate(model, probe, ["saliency", "input_x_gradient"], ["agreement"])
    (table,) = found.agreement
    assert table.correlations[0][1] == pytest.approx(found.explained[0].scores["agreement"].mean)
    assert table.correlations[0][1] == pytest.approx(found.explained[1].scores["agreement"].mean)
