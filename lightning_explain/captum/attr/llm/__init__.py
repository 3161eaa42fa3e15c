"""Explanations of texts that language models write."""

from lightning_explain.captum.attr.llm.gradient import LLMGradientAttribution as LLMGradientAttribution
from lightning_explain.captum.attr.llm.perturbation import LLMAttribution as LLMAttribution
from lightning_explain.captum.attr.llm.provider import RemoteLLMProvider as RemoteLLMProvider
from lightning_explain.captum.attr.llm.provider import VLLMProvider as VLLMProvider
from lightning_explain.captum.attr.llm.remote import RemoteLLMAttribution as RemoteLLMAttribution
from lightning_explain.captum.attr.llm.result import LLMAttributionResult as LLMAttributionResult
