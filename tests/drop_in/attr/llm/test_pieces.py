import pytest
import torch
from drop_in.attr.language import Tokenizer

from lightning_explain.captum.attr.llm.pieces import pieces


class Bytes(Tokenizer):
    """A token for each byte: a letter may be several, none of which can be decoded alone."""

    def __init__(self, knows_places=True, first=()):
        self.knows_places, self.first = knows_places, list(first)

    def encode(self, text, **_):
        return [*self.first, *text.encode()]

    def decode(self, ids):
        return bytes(torch.as_tensor(ids).reshape(-1).tolist()).decode(errors="replace")

    def __call__(self, text, **_):
        if not self.knows_places:
            raise NotImplementedError("return_offset_mapping is not available when using Python tokenizers.")
        spans = [(n, n + 1) for n, letter in enumerate(text) for _ in letter.encode()]
        return {"input_ids": self.encode(text), "offset_mapping": [(0, 0)] * len(self.first) + spans}


def of(text, tokenizer):
    return pieces(torch.tensor(list(text.encode())), tokenizer)


def test_words():
    ids = torch.tensor(Tokenizer().encode("the cat sat"))
    assert pieces(ids, Tokenizer()) == ["the", "cat", "sat"]


@pytest.mark.parametrize("tokenizer", [Bytes(), Bytes(knows_places=False)], ids=["places", "none"])
def test_letters_of_several_tokens_are_marked(tokenizer):
    assert of("aé\nb", tokenizer) == ["a", "é", "é [OVERLAP]", "\\n", "b"]
    assert of("€", tokenizer) == ["€", "€ [OVERLAP]", "€ [OVERLAP]"]


def test_tokens_that_the_encoding_adds_are_left_out():
    assert of("ab", Bytes(first=[1])) == ["a", "b"]


def test_ids_that_are_encoded_otherwise_are_decoded_alone():
    class Merges(Bytes):
        def __call__(self, text, **_):
            return {"input_ids": [300], "offset_mapping": [(0, len(text))]}

    assert of("ab", Merges()) == ["a", "b"]


def test_places_that_say_a_beginning_alone():
    class Beginnings(Tokenizer):
        def __call__(self, text, **how):
            made = super().__call__(text, **how)
            return {**made, "offset_mapping": [(start, start) for start, _ in made["offset_mapping"]]}

    assert pieces(torch.tensor(Tokenizer().encode("the cat sat")), Beginnings()) == ["the", "cat", "sat"]
