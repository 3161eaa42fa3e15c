import sys
import types
from types import SimpleNamespace

import pytest
from drop_in.attr.language import Tokenizer

from lightning_explain.captum.attr.llm.provider import VLLMProvider

PROMPT, TARGET = "the cat", " sat on"


class Client:
    """What is asked of OpenAI's client, and what it answers."""

    def __init__(self, base_url, api_key):
        self.base_url, self.api_key, self.asked = base_url, api_key, []
        self.names = ["first", "second"]
        self.answer = SimpleNamespace(
            text=" sat", prompt_logprobs=[None, *({5: {"logprob": -n}} for n in (1.0, 2.0, 3.0))]
        )
        self.completions = SimpleNamespace(create=self._create)
        self.models = SimpleNamespace(list=lambda: SimpleNamespace(data=[SimpleNamespace(id=n) for n in self.names]))

    def _create(self, **asked):
        self.asked.append(asked)
        return SimpleNamespace(choices=[self.answer] if self.answer else [])


@pytest.fixture
def openai(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", types.ModuleType("openai"))
    sys.modules["openai"].OpenAI = Client
    monkeypatch.setenv("OPENAI_API_KEY", "key")


@pytest.fixture
def provider(openai):
    return VLLMProvider("http://server/v1")


def test_the_first_model_is_taken(provider, openai):
    assert (provider.model_name, provider.client.base_url, provider.client.api_key) == (
        "first",
        "http://server/v1",
        "key",
    )
    assert VLLMProvider("http://server/v1", "second").model_name == "second"


def test_texts_are_written(provider):
    assert provider.generate(PROMPT, max_new_tokens=7, do_sample=False, temperature=None, top_p=0.5) == " sat"
    assert provider.generate(PROMPT, max_tokens=3) == " sat"
    assert provider.client.asked == [
        {"model": "first", "prompt": PROMPT, "max_tokens": 7, "top_p": 0.5},
        {"model": "first", "prompt": PROMPT, "max_tokens": 3},
    ]


def test_log_probabilities_are_those_of_the_last_tokens(provider):
    assert provider.get_logprobs(PROMPT, TARGET, Tokenizer()) == [-2.0, -3.0]
    (asked,) = provider.client.asked
    assert (asked["prompt"], asked["max_tokens"], asked["extra_body"]) == ("the cat sat on", 1, {"prompt_logprobs": 0})


def test_answers_that_hold_too_little(provider):
    answers = [
        (
            SimpleNamespace(prompt_logprobs=[{5: {"logprob": -1.0}}]),
            ValueError,
            r"log-probabilities of 2 tokens, got 1",
        ),
        (SimpleNamespace(prompt_logprobs=[None, None]), ValueError, r"every token of the target; one has none"),
        (SimpleNamespace(prompt_logprobs=[{5: {}}] * 2), IndexError, r"one log-probability for each token, got 1"),
        (SimpleNamespace(prompt_logprobs=None), KeyError, r"no prompt_logprobs"),
        (None, KeyError, r"no choices"),
    ]
    for answer, error, message in answers:
        provider.client.answer = answer
        with pytest.raises(error, match=message):
            provider.get_logprobs(PROMPT, TARGET, Tokenizer())


def test_mistakes_are_named(provider, monkeypatch):
    with pytest.raises(ValueError, match=r"needs the model's tokenizer"):
        provider.get_logprobs(PROMPT, TARGET)
    with pytest.raises(ValueError, match=r"The target is empty"):
        provider.get_logprobs(PROMPT, "", Tokenizer())
    with pytest.raises(ValueError, match=r"Expected the address of a server"):
        VLLMProvider(" ")
    monkeypatch.setattr(Client, "__init__", lambda self, **_: setattr(self, "models", SimpleNamespace(
        list=lambda: SimpleNamespace(data=[]))))  # fmt: skip
    with pytest.raises(ValueError, match=r"http://server/v1 has no models"):
        VLLMProvider("http://server/v1")


def test_the_client_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ImportError, match=r"pip install openai"):
        VLLMProvider("http://server/v1")
