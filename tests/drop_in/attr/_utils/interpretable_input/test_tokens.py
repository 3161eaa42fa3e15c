import captum.attr
import pytest
import torch
from drop_in.attr.language import Tokenizer

from lightning_explain.captum.attr._utils.interpretable_input import TextTokenInput

TEXT = "the cat sat on the mat"
CASES = [{}, {"baselines": 3}, {"baselines": "[PAD]", "skip_tokens": ["the", "on"]}, {"skip_tokens": [2]}]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_ids_are_those_of_captum(case):
    ours, theirs = (kind(TEXT, Tokenizer(), **case) for kind in (TextTokenInput, captum.attr.TextTokenInput))
    assert (ours.n_itp_features, ours.values, ours.baselines, ours.skip_tokens) == (
        theirs.n_itp_features,
        theirs.values,
        theirs.baselines,
        theirs.skip_tokens,
    )
    for name in ("inp_tensor", "itp_tensor"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
    torch.testing.assert_close(ours.to_tensor(), theirs.to_tensor())
    torch.testing.assert_close(ours.to_model_input(), theirs.to_model_input())
    for dtype in (torch.int64, torch.float32):
        there = torch.randint(2, (4, ours.n_itp_features)).to(dtype)
        torch.testing.assert_close(ours.to_model_input(there), theirs.to_model_input(there))
    attr = torch.randn(2, ours.n_itp_features)
    assert ours.format_attr(attr) is attr


def test_absent_tokens_give_way_to_the_baseline():
    text = TextTokenInput(TEXT, Tokenizer(), baselines="[PAD]", skip_tokens=["the"])
    ids = text.to_model_input(torch.tensor([[0, 1, 1, 0]]))
    assert Tokenizer().decode(ids) == "the [PAD] sat on the [PAD]"
    assert Tokenizer().decode(text.inp_tensor) == TEXT
