"""Inputs that are no tensors, and the tensors that stand for them."""

from lightning_explain.captum.attr._utils.interpretable_input.image import ImageMaskInput as ImageMaskInput
from lightning_explain.captum.attr._utils.interpretable_input.interpretable import (
    InterpretableInput as InterpretableInput,
)
from lightning_explain.captum.attr._utils.interpretable_input.template import TextTemplateInput as TextTemplateInput
from lightning_explain.captum.attr._utils.interpretable_input.tokens import TextTokenInput as TextTokenInput
from lightning_explain.captum.attr._utils.interpretable_input.tokens import TokenizerLike as TokenizerLike
