import captum.attr
import pytest
import torch
from drop_in.attr.language import Recurrent, Tokenizer, log_probs

from lightning_explain.captum.attr._utils.interpretable_input import TextTemplateInput, TextTokenInput
from lightning_explain.captum.attr.llm.perturbation import LLMAttribution
from lightning_explain.captum.attr.llm.provider import RemoteLLMProvider
from lightning_explain.captum.attr.llm.remote import RemoteLLMAttribution

TARGET = "the mat ran"


class Elsewhere(RemoteLLMProvider):
    """A server that holds the model."""

    def __init__(self):
        self.model, self.asked = Recurrent().eval(), []

    def generate(self, prompt, **gen_args):
        self.asked.append((prompt, gen_args))
        return TARGET

    def get_logprobs(self, input_prompt, target_str, tokenizer=None):
        self.asked.append(input_prompt)
        return log_probs(self.model, input_prompt, target_str).tolist()


def text():
    return TextTemplateInput("a {} sat on {}", ["cat", "mat"], ["dog", "a"])


def tokens():
    return TextTokenInput("the cat sat on", Tokenizer())


def remote(method="FeatureAblation", attribution=RemoteLLMAttribution, **made_with):
    provider = Elsewhere()
    made = getattr(captum.attr, method)(attribution.placeholder_model)
    return attribution(made, Tokenizer(), provider, **made_with), provider


@pytest.mark.parametrize("make", [text, tokens])
@pytest.mark.parametrize("method", ["FeatureAblation", "ShapleyValues", "KernelShap"])
@pytest.mark.parametrize("target", ["log_prob", "prob"])
def test_a_model_elsewhere_is_explained_as_one_here(make, method, target):
    explained, provider = remote(method, attr_target=target)
    here = LLMAttribution(getattr(captum.attr, method)(provider.model), Tokenizer(), target)
    torch.manual_seed(0)
    found = explained.attribute(make(), TARGET)
    torch.manual_seed(0)
    expected = here.attribute(make(), TARGET)
    torch.testing.assert_close(found.seq_attr, expected.seq_attr, atol=1e-5, rtol=1e-4)
    if expected.token_attr is not None:
        torch.testing.assert_close(found.token_attr, expected.token_attr, atol=1e-5, rtol=1e-4)


def test_attributions_are_those_of_captum():
    explained, _ = remote()
    theirs, _ = remote(attribution=captum.attr.RemoteLLMAttribution)
    inp = captum.attr.TextTemplateInput("a {} sat on {}", ["cat", "mat"], ["dog", "a"])
    torch.testing.assert_close(explained.attribute(text(), TARGET).token_attr, theirs.attribute(inp, TARGET).token_attr)


def test_the_server_writes_what_is_explained():
    explained, provider = remote()
    result = explained.attribute(text(), gen_args={"max_new_tokens": 3})
    assert provider.asked[0] == ("a cat sat on mat", {"max_new_tokens": 3})
    assert result.output_tokens == TARGET.split()


def test_inputs_are_told():
    told = []
    explained, _ = remote()
    explained.attribute(text(), TARGET, _inspect_forward=lambda *said: told.append(said[:2]))
    assert told == [(f"a {a} sat on {b}", TARGET) for a, b in (("cat", "mat"), ("dog", "mat"), ("cat", "a"))]


def test_answers_have_a_number_for_each_token():
    explained, provider = remote()
    provider.get_logprobs = lambda *_: [0.0, 0.0]
    with pytest.raises(ValueError, match=r"The target has 3 tokens, the provider gave 2 log-probabilities"):
        explained.attribute(text(), TARGET)


def test_servers_that_write_nothing():
    explained, provider = remote()
    provider.generate = None
    with pytest.raises(AssertionError, match=r"Elsewhere has no generate\(\), so target= must be given"):
        explained.attribute(text())
