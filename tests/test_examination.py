import math

import pytest
import torch

from lightning_explain import ProbeSet, evaluate
from lightning_explain.examination import Agreement, Examination, Explained
from lightning_explain.metrics import Score


def explained(name, maps, space="", scores=None):
    return Explained(name, None, torch.tensor(maps, dtype=torch.float64), scores or {}, space)


def test_scores_of_a_class_are_those_of_its_samples():
    score = Score.of(torch.tensor([1.0, 2.0, 3.0, 6.0, math.nan]))
    examination = Examination((explained("saliency", [[0.0]], scores={"srg": score}),), {"random": {"srg": score}})
    scores = examination.scores("a", torch.tensor([0, 2, 0, 2, 5]))
    assert set(scores) == {"a/saliency/srg", "a/random/srg", *(f"a/saliency/srg/class_{c}" for c in (0, 2, 5))}
    assert scores["a/saliency/srg/class_0"].mean == 2
    assert scores["a/saliency/srg/class_2"].mean == 4
    assert scores["a/saliency/srg/class_5"].n == 0
    assert examination.scores("a") == {"a/saliency/srg": score, "a/random/srg": score}


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
