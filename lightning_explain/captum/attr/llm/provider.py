"""Language models that run elsewhere and say how likely a text is."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any

from lightning_explain.captum.attr._utils.interpretable_input import TokenizerLike


class RemoteLLMProvider(ABC):
    """A language model that runs elsewhere."""

    api_url: str

    @abstractmethod
    def generate(self, prompt: str, **gen_args: Any) -> str:
        """Write a text.

        Args:
            prompt: What comes before it.
            gen_args: How it is written.

        Returns:
            The text.
        """

    @abstractmethod
    def get_logprobs(self, input_prompt: str, target_str: str, tokenizer: TokenizerLike | None = None) -> list[float]:
        """How likely a text is.

        Args:
            input_prompt: What comes before it.
            target_str: The text.
            tokenizer: The model's tokenizer.

        Returns:
            The log-probability of each of its tokens.
        """


class VLLMProvider(RemoteLLMProvider):
    """A language model behind the interface of OpenAI, as vLLM serves it, with the log-probabilities of the prompt.

    The key is that of the environment variable ``OPENAI_API_KEY``.

    Args:
        api_url: Where it is.
        model_name: Its name; None: the first of those that are there.

    Raises:
        ImportError: If ``openai`` is not installed.
        ValueError: If there is no address, or no model.
    """

    def __init__(self, api_url: str, model_name: str | None = None) -> None:
        try:
            from openai import OpenAI
        except ImportError:
            raise ImportError("VLLMProvider needs the client of OpenAI's interface: pip install openai.") from None
        if not api_url.strip():
            raise ValueError("Expected the address of a server, such as http://localhost:8000/v1; got none.")
        self.api_url = api_url
        self.client: Any = OpenAI(base_url=api_url, api_key=os.getenv("OPENAI_API_KEY", "EMPTY"))
        self.model_name: str = model_name or self._first_model()

    def generate(self, prompt: str, **gen_args: Any) -> str:
        """Write a text.

        Args:
            prompt: What comes before it.
            gen_args: Arguments of the interface; ``max_new_tokens`` is taken for ``max_tokens``, 25 where there is
                none, ``do_sample`` and those that are None are left out.

        Returns:
            The text.

        Raises:
            KeyError: If the answer holds none.
        """
        asked = {key: value for key, value in gen_args.items() if value is not None and key != "do_sample"}
        longest = asked.pop("max_new_tokens", 25)
        return str(self._answer(prompt, **{"max_tokens": longest, **asked}).text)

    def get_logprobs(self, input_prompt: str, target_str: str, tokenizer: TokenizerLike | None = None) -> list[float]:
        """How likely a text is.

        Args:
            input_prompt: What comes before it.
            target_str: The text.
            tokenizer: The model's tokenizer.

        Returns:
            The log-probability of each of its tokens.

        Raises:
            ValueError: If there is no tokenizer or no text, or the answer has not a number for each token.
            KeyError: If the answer holds no log-probabilities.
            IndexError: If they have another form.
        """
        if tokenizer is None:
            raise ValueError("VLLMProvider needs the model's tokenizer to count the tokens of the target.")
        if not target_str:
            raise ValueError("The target is empty; expected a text.")
        count = len(tokenizer.encode(target_str, add_special_tokens=False))
        wanted = {"temperature": 0.0, "max_tokens": 1, "extra_body": {"prompt_logprobs": 0}}
        answer = self._answer(input_prompt + target_str, **wanted)
        given = getattr(answer, "prompt_logprobs", None)
        if not given:
            raise KeyError("The server's answer has no prompt_logprobs.")
        found = [_only(position) for position in given[-count:]]
        if len(found) != count:
            raise ValueError(f"Expected log-probabilities of {count} tokens, got {len(found)}.")
        return found

    def _first_model(self) -> str:
        models = self.client.models.list().data
        if not models:
            raise ValueError(f"The server at {self.api_url} has no models.")
        return str(models[0].id)

    def _answer(self, prompt: str, **arguments: Any) -> Any:  # noqa: ANN401  (what the client gives)
        response = self.client.completions.create(model=self.model_name, prompt=prompt, **arguments)
        if not getattr(response, "choices", None):
            raise KeyError("The server's answer has no choices.")
        return response.choices[0]


def _only(position: Any) -> float:  # noqa: ANN401  (what the client gives)
    if not position:
        raise ValueError("Expected the log-probability of every token of the target; one has none.")
    values = list(position.values())
    if len(values) != 1 or "logprob" not in values[0]:
        raise IndexError(f"Expected one log-probability for each token, got {len(values)} entries.")
    return float(values[0]["logprob"])
