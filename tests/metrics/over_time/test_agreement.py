import pytest
import torch
from scipy.stats import spearmanr

from lightning_explain.metrics import Agreement
from lightning_explain.metrics.over_time.agreement import agreement
from metrics.evaluations import Pair, Picture, evaluation_of, pictures, rows


def by_hand(one, other):
    """Spearman over the features of which either is not zero; None where there is no order."""
    pairs = [(float(a), float(b)) for a, b in zip(one, other, strict=True) if a != 0 or b != 0]
    if not pairs or any(len(set(column)) < 2 for column in zip(*pairs, strict=True)):
        return torch.nan
    return spearmanr(*zip(*pairs, strict=True)).statistic


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(0)
    listed = {name: torch.randn(4, 30, generator=generator).round(decimals=1) for name in ("one", "two", "three")}
    listed["one"][:, :10] = listed["two"][:, :10] = 0
    listed["two"][1] = 0
    return listed


def test_the_table_holds_every_two_methods(maps):
    table = agreement(maps)
    assert table.shape == (4, 3, 3)
    for sample in range(4):
        for i, one in enumerate(maps.values()):
            for j, other in enumerate(maps.values()):
                expected = by_hand(one[sample], other[sample])
                assert float(table[sample, i, j]) == pytest.approx(expected, nan_ok=True)
    assert torch.equal(table.nan_to_num(), table.transpose(1, 2).nan_to_num())
    assert torch.diagonal(table[[0, 2, 3]], dim1=1, dim2=2).flatten().tolist() == pytest.approx([1] * 9)
    assert table[1, 1].isnan().all()  # a map that is all zero agrees with none, not with itself either


def test_the_score_is_the_mean_over_the_other_methods():
    generator = torch.Generator().manual_seed(1)
    others = {name: torch.randn(4, 36, generator=generator) for name in ("one", "two", "three")}
    others["two"][2] = 5.0
    with evaluation_of(Picture(), pictures(), "input_x_gradient", of={"others": others}) as evaluation:
        got, scores = Agreement().per_sample(evaluation), evaluation.scores
    for sample in range(4):
        found = [by_hand(scores[sample], other[sample]) for other in others.values()]
        defined = [value for value in found if value == value]
        assert len(defined) == (2 if sample == 2 else 3)
        assert float(got[sample]) == pytest.approx(sum(defined) / len(defined))


def test_the_score_is_a_row_of_the_table():
    inputs = pictures(), rows()
    with (
        evaluation_of(Pair(), inputs, "saliency") as first,
        evaluation_of(Pair(), inputs, "input_x_gradient") as second,
    ):
        table = agreement({"saliency": first.scores, "input_x_gradient": second.scores})
        assert first.scores.shape == (4, 41)
    with evaluation_of(Pair(), inputs, "saliency", of={"others": {"input_x_gradient": second.scores}}) as evaluation:
        torch.testing.assert_close(Agreement().per_sample(evaluation), table[:, 0, 1])


def test_the_same_map_agrees_and_its_opposite_does_not():
    with evaluation_of(Picture(), pictures(), "input_x_gradient") as evaluation:
        scores = evaluation.scores
        for others, expected in (
            ({"same": 3 * scores}, 1),
            ({"opposite": -scores}, -1),
            ({"a": scores, "b": -scores}, 0),
        ):
            evaluation.others.clear()
            evaluation.others.update(others)
            assert Agreement().per_sample(evaluation).tolist() == pytest.approx([expected] * 4)


def test_without_other_methods_it_is_undefined():
    metric = Agreement()
    with evaluation_of(Picture(), pictures()) as evaluation:
        metric.update(evaluation)
    assert (metric.score().n, metric.score().undefined) == (0, 4)


def test_where_all_others_say_nothing_it_is_undefined():
    others = {"one": torch.ones(4, 36), "two": torch.full((4, 36), torch.nan)}
    with evaluation_of(Picture(), pictures(), of={"others": others}) as evaluation:
        assert Agreement().per_sample(evaluation).isnan().all()
