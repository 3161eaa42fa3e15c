"""Language models that run elsewhere, by Captum's path."""

from lightning_explain.captum.attr.llm.provider import RemoteLLMProvider as RemoteLLMProvider
from lightning_explain.captum.attr.llm.provider import VLLMProvider as VLLMProvider
