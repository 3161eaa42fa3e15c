import captum.attr
import pytest
import torch

from lightning_explain.captum.attr._utils.interpretable_input import TextTemplateInput

CASES = [
    {"template": "{} and {} or {}", "values": ["x", "y", "z"]},
    {"template": "{} and {} or {}", "values": ["x", "y", "z"], "baselines": ["a", "b", "c"], "mask": [7, 3, 7]},
    {"template": "{p} and {q}", "values": {"p": "x", "q": "y"}, "baselines": {"q": "b", "p": "a"}},
    {"template": "{p} and {q}", "values": {"p": "x", "q": "y"}, "mask": {"q": 0, "p": 0}},
    {"template": lambda *values: "-".join(values), "values": ["x", "y"], "baselines": lambda: ["a", "b"]},
    {"template": lambda p, q: p + q, "values": {"p": "x", "q": "y"}, "baselines": lambda: {"p": "a", "q": "b"}},
]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_texts_and_attributions_are_those_of_captum(case):
    ours, theirs = TextTemplateInput(**case), captum.attr.TextTemplateInput(**case)
    assert (ours.n_itp_features, ours.values, ours.n_features) == (
        theirs.n_itp_features,
        theirs.values,
        theirs.n_features,
    )
    torch.testing.assert_close(ours.to_tensor(), theirs.to_tensor())
    assert ours.to_model_input() == theirs.to_model_input()
    for there in torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * ours.n_itp_features).reshape(
        -1, ours.n_itp_features
    ):
        assert ours.to_model_input(there[None]) == theirs.to_model_input(there[None])
    attr = torch.randn(3, ours.n_itp_features)
    torch.testing.assert_close(ours.format_attr(attr), theirs.format_attr(attr))


def test_values_of_one_number_are_one_feature():
    text = TextTemplateInput("{} {} {}", ["x", "y", "z"], ["a", "b", "c"], mask=[5, 2, 5])
    assert text.to_model_input(torch.tensor([[1, 0]])) == "a y c"
    assert text.format_attr(torch.tensor([[1.0, 2.0]])).tolist() == [[2.0, 1.0, 2.0]]


def test_baselines_are_asked_for_each_text():
    drawn = iter([["a"], ["b"]])
    text = TextTemplateInput("{}", ["x"], lambda: next(drawn))
    assert [text.to_model_input(torch.tensor([[0]])) for _ in range(2)] == ["a", "b"]
    assert text.to_model_input() == "x"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": "xy"}, r"Expected values as a list or a dict, got str"),
        ({"template": 3}, r"Expected a template or a function that fills one in, got int"),
        ({"baselines": {"p": "a"}}, r"Values are a list, so must baselines be; got dict"),
        ({"baselines": ["a"]}, r"Expected baselines for 2 values, got 1"),
        ({"mask": [0, 1, 2]}, r"Expected the mask for 2 values, got 3"),
        ({"values": {"p": "x"}, "mask": [0]}, r"Values are a dict, so must the mask be; got list"),
        ({"values": {"p": "x"}, "baselines": {"q": "x"}}, r"Expected baselines for \['p'\], got \['q'\]"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(AssertionError, match=message):
        TextTemplateInput(**{"template": "{} {}", "values": ["x", "y"], **arguments})


def test_what_a_function_gives_is_looked_at():
    text = TextTemplateInput("{}", ["x"], baselines=lambda: {"p": "a"})
    with pytest.raises(AssertionError, match=r"Values are a list, so must baselines be; got dict"):
        text.to_model_input(torch.tensor([[0]]))
