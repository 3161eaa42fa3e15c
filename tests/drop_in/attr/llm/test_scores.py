from types import SimpleNamespace

import pytest
import torch
from drop_in.attr.language import Recurrent, Tokenizer, log_probs

from lightning_explain.captum.attr.llm.scores import at_once, next_token, one_by_one

PROMPTS = ["the cat sat on", "a dog ran and"]
TEXT = "the mat ran"


@pytest.fixture
def model():
    return Recurrent().eval()


@pytest.fixture
def ids():
    return torch.tensor([Tokenizer().encode(prompt) for prompt in PROMPTS])


@pytest.fixture
def tokens():
    return torch.tensor(Tokenizer().encode(TEXT))


def expected(model):
    return torch.stack([log_probs(model, prompt, TEXT) for prompt in PROMPTS])


def test_all_ways_give_what_the_definition_gives(model, ids, tokens):
    reference = expected(model)
    torch.testing.assert_close(at_once(model, {"input_ids": ids}, tokens), reference)
    for cached in (True, False):
        torch.testing.assert_close(one_by_one(model, {"input_ids": ids}, tokens, cached), reference)
    found = next_token(model, torch.cat([ids, tokens[None, :2].expand(2, -1)], dim=1), int(tokens[2]))
    torch.testing.assert_close(found, reference[:, 2])
    assert found.requires_grad


def test_passes_and_what_they_see(model, ids, tokens):
    at_once(model, {"input_ids": ids}, tokens)
    assert model.seen == [(2, 7)]
    model.seen.clear()
    one_by_one(model, {"input_ids": ids}, tokens, cached=True)
    assert model.seen == [(2, 4), (2, 1), (2, 1)]
    model.seen.clear()
    one_by_one(model, {"input_ids": ids}, tokens, cached=False)
    assert model.seen == [(2, 4), (2, 5), (2, 6)]


@pytest.mark.parametrize("cached", [True, False])
def test_masks_grow_and_other_inputs_stay(ids, tokens, cached):
    given = []

    def model(input_ids, **others):
        given.append(others)
        kept = "kept" if others["use_cache"] else None
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, 11), past_key_values=kept)

    mask = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])
    one_by_one(model, {"input_ids": ids, "attention_mask": mask, "pixels": 1}, tokens, cached)
    assert [call["attention_mask"][0].tolist() for call in given] == [[0, 1, 1, 1] + [1] * n for n in range(3)]
    assert [call.get("past_key_values") for call in given] == ([None, "kept", "kept"] if cached else [None] * 3)
    assert ["pixels" in call for call in given] == [True, not cached, not cached]


def test_models_that_keep_nothing_see_everything(model, ids, tokens):
    class Forgetful(torch.nn.Module):
        def forward(self, **given):
            given.pop("use_cache")
            return SimpleNamespace(logits=model(**given).logits)

    torch.testing.assert_close(one_by_one(Forgetful(), {"input_ids": ids}, tokens, cached=True), expected(model))


def test_half_precision_and_other_forms_of_logits(ids, tokens):
    logits = torch.randn(2, 1, 7, 11, dtype=torch.bfloat16)
    found = at_once(lambda **_: SimpleNamespace(logits=logits), {"input_ids": ids}, tokens)
    reference = logits[:, 0, 3:6].float().log_softmax(-1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.stack([reference[:, n, token] for n, token in enumerate(tokens)], dim=1))
