"""A language small enough to be read, and a model that writes it."""

from types import SimpleNamespace

import torch
from torch import nn

WORDS = ["[UNK]", "[PAD]", "the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran"]


class Tokenizer:
    """A token for each word."""

    def encode(self, text, add_special_tokens=True, return_tensors=None):
        ids = [WORDS.index(word) if word in WORDS else 0 for word in text.split()]
        return torch.tensor([ids]) if return_tensors == "pt" else ids

    def __call__(self, text, return_offsets_mapping=False, add_special_tokens=True):
        spans, at = [], 0
        for word in text.split():
            at = text.index(word, at)
            spans.append((at, at + len(word)))
            at += len(word)
        return {"input_ids": self.encode(text), "offset_mapping": spans}

    def decode(self, ids):
        return " ".join(WORDS[index] for index in torch.as_tensor(ids).reshape(-1).tolist())

    def convert_ids_to_tokens(self, ids):
        return [WORDS[index] for index in ids]

    def convert_tokens_to_ids(self, tokens):
        return [WORDS.index(token) for token in tokens]


class Recurrent(nn.Module):
    """Reads from left to right; what it keeps is its state. Counts its passes and the tokens that it is given."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(len(WORDS), 6)
        self.dropout = nn.Dropout(0.5)
        self.cell = nn.GRU(6, 8, batch_first=True)
        self.out = nn.Linear(8, len(WORDS))
        self.seen = []

    def forward(self, input_ids, attention_mask=None, past_key_values=None, use_cache=False):
        self.seen.append(tuple(input_ids.shape))
        assert attention_mask is None or attention_mask.shape[1] >= input_ids.shape[1]
        read, state = self.cell(self.dropout(self.embedding(input_ids)), past_key_values)
        return SimpleNamespace(logits=3 * self.out(read), past_key_values=state if use_cache else None)

    @torch.no_grad()
    def generate(self, input_ids, max_new_tokens=25, **how):
        for _ in range(max_new_tokens):
            best = self.forward(input_ids).logits[:, -1:].argmax(-1)
            input_ids = torch.cat([input_ids, best], dim=1)
        return input_ids


def log_probs(model, prompt, text):
    """From the definition: each word's log-probability after all before it, from scratch."""
    tokenizer = Tokenizer()
    ids, words = tokenizer.encode(prompt), tokenizer.encode(text)
    with torch.no_grad():
        found = []
        for word in words:
            found.append(model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)[word])
            ids = [*ids, word]
    return torch.stack(found)
