"""The piece of a text that each token stands for."""

from __future__ import annotations

from torch import Tensor

from lightning_explain.captum.attr._utils.interpretable_input import TokenizerLike

_UNDECODED = "\N{REPLACEMENT CHARACTER}"
_OVERLAP = " [OVERLAP]"


def pieces(ids: Tensor, tokenizer: TokenizerLike) -> list[str]:
    """The piece of text that each token stands for, as one would write it.

    Tokens of a byte-wise vocabulary are spelled with odd letters, and several may stand for one letter of the text.

    Args:
        ids: Token ids (tokens,).
        tokenizer: Their tokenizer. One that says where tokens are in a text is asked for that.

    Returns:
        One for each token, without spaces around; where two tokens share letters, the later is marked.
    """
    text = tokenizer.decode(ids)
    spans = _spans(text, ids.tolist(), tokenizer)
    if spans is None:
        return _one_by_one(ids, tokenizer)
    ends = [-1, *(end for _, end in spans[:-1])]
    return [
        _cleaned(text[start:end]) + (_OVERLAP if previous > start else "")
        for (start, end), previous in zip(spans, ends, strict=True)
    ]


def _spans(text: str, ids: list[int], tokenizer: TokenizerLike) -> list[tuple[int, int]] | None:
    try:
        encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    except NotImplementedError:  # tokenizers written in Python do not know
        return None
    starts = [start for start, _ in encoded["offset_mapping"]]
    found: list[tuple[int, int]] = []
    for index, (start, end) in enumerate(encoded["offset_mapping"]):
        # Tokens that the encoding adds, such as one for a first space, are none of ours.
        if len(found) < len(ids) and encoded["input_ids"][index] == ids[len(found)]:
            # Some tokenizers say where a token begins alone.
            found.append((start, end if end > start else [*starts, len(text)][index + 1]))
    return found if len(found) == len(ids) else None


def _one_by_one(ids: Tensor, tokenizer: TokenizerLike) -> list[str]:
    # A letter may be cut into several tokens, none of which can be decoded alone.
    named: list[str] = []
    first = 0
    while first < len(ids):
        end = first + 1
        while tokenizer.decode(ids[first:end]).strip().endswith(_UNDECODED) and end < len(ids):
            end += 1
        text = _cleaned(tokenizer.decode(ids[first:end]))
        named += [text, *[text + _OVERLAP] * (end - first - 1)]
        first = end
    return named


def _cleaned(text: str) -> str:
    return text.replace("\n", "\\n").strip()
