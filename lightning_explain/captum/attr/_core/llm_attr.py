"""Explanations of language models, by Captum's path."""

from lightning_explain.captum.attr.llm.base import BaseLLMAttribution as BaseLLMAttribution
from lightning_explain.captum.attr.llm.gradient import LLMGradientAttribution as LLMGradientAttribution
from lightning_explain.captum.attr.llm.perturbation import LLMAttribution as LLMAttribution
from lightning_explain.captum.attr.llm.remote import RemoteLLMAttribution as RemoteLLMAttribution
from lightning_explain.captum.attr.llm.result import LLMAttributionResult as LLMAttributionResult
