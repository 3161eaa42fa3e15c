"""The attention probabilities of a model, seen on their way."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lightning_explain.attribution.derivative import accumulator
from lightning_explain.attribution.interception import intercepted
from lightning_explain.attribution.place import Layer, differentiable
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point, pick

SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)
LOWEST = -1e9


class Attentions(TorchFunctionMode):
    """Collects the probabilities of self-attention in a block, in the order in which they are computed.

    Seen are ``nn.MultiheadAttention``, ``F.scaled_dot_product_attention`` (computed in the open, for the fused kernels
    keep the probabilities to themselves), and attention that is written out: a softmax over the last of four
    dimensions, (n, heads, tokens, tokens).

    Args:
        rows: The number of samples that go through the model.

    Attributes:
        found: The probabilities, (n, heads, tokens, tokens) each; the model goes on with what depends on them.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.found: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Run the operator, and keep what it says about attention.

        Returns:
            What the operator gives.
        """
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            return self._multi_head(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            return self._scaled_dot_product(*args, **kwargs)
        result = func(*args, **kwargs)
        if func in SOFTMAX and isinstance(result, Tensor) and result.ndim == 4 and _last(*args[1:2], **kwargs):
            return self._seen(result)
        return result

    def _seen(self, probabilities: Tensor) -> Tensor:
        heads = probabilities[:, None] if probabilities.ndim == 3 else probabilities
        if heads.ndim != 4 or heads.shape[0] != self.rows or heads.shape[2] != heads.shape[3]:
            return probabilities  # between two kinds of tokens, or within windows
        kept = differentiable(heads) if torch.is_grad_enabled() else heads
        self.found.append(kept)
        return kept.view_as(probabilities).clone()

    def _scaled_dot_product(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if enable_gqa:
            groups = query.shape[-3] // key.shape[-3]
            key, value = (held.repeat_interleave(groups, dim=-3) for held in (key, value))
        logits = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
        if attn_mask is not None:
            hidden = logits.new_zeros(()).masked_fill(~attn_mask, LOWEST) if _is_bool(attn_mask) else attn_mask
            logits = logits + hidden
        return self._seen(logits.softmax(dim=-1)) @ value

    def _multi_head(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        given = dict(zip(_MULTI_HEAD, args, strict=False)) | kwargs
        asked, averaged = given.get("need_weights", True), given.get("average_attn_weights", True)
        output, weights = F.multi_head_attention_forward(
            **given | {"need_weights": True, "average_attn_weights": False}
        )
        if weights is not None and weights.ndim == 4:
            output = _mixed(self._seen(weights), given).to(output)
        if weights is None or not asked:
            return output, None
        return output, weights.mean(dim=1) if averaged else weights


def attended(problem: Problem, rows: Tensor, *, sloped: bool) -> tuple[Point, Point]:
    """The probabilities of all self-attention behind the place, and the score's gradient with respect to them.

    Args:
        problem: The problem.
        rows: Which samples (m,).
        sloped: Whether gradients are wanted.

    Returns:
        Probabilities, (m, heads, tokens, tokens) each, and gradients like them, or none.

    Raises:
        ValueError: If there is no attention, or not the same tokens attend all the time.
    """
    z = pick(problem.z, rows)
    with ExitStack() as stack:
        stack.enter_context(torch.set_grad_enabled(sloped or problem.create_graph))
        seen = Attentions(len(rows))
        if isinstance(problem.place, Layer):  # what comes before it is no business of its tokens

            def forget(tensor: Tensor) -> Tensor:
                seen.found.clear()
                return tensor

            stack.enter_context(intercepted(problem, problem.place, forget))
        with seen:
            score = problem.place.score(problem, z, rows)
        found = tuple(seen.found)
        _require_tokens(found)
        if not sloped:
            return found, ()
        given = torch.autograd.grad(score.sum(), found, create_graph=problem.create_graph, allow_unused=True)
    return found, tuple(
        torch.zeros_like(held, dtype=accumulator(held)) if slope is None else slope.to(accumulator(held))
        for held, slope in zip(found, given, strict=True)
    )


def _require_tokens(found: Point) -> None:
    if not found:
        raise ValueError(
            "No self-attention was seen behind the place. Seen are nn.MultiheadAttention,"
            " F.scaled_dot_product_attention, and a softmax over (n, heads, tokens, tokens)."
        )
    counts = sorted({held.shape[-1] for held in found})
    if len(counts) > 1:
        raise ValueError(
            f"The number of tokens changes on the way: {', '.join(map(str, counts))}. Attention can be followed through"
            " layers with the same tokens only; explain a layer behind the last change, place=Layer('<block>')."
        )


def _last(dim: int | None = None, **_: object) -> bool:
    return dim in {-1, 3}


def _is_bool(tensor: Tensor) -> bool:
    return tensor.dtype == torch.bool


_MULTI_HEAD = (
    "query", "key", "value", "embed_dim_to_check", "num_heads", "in_proj_weight", "in_proj_bias", "bias_k", "bias_v",
    "add_zero_attn", "dropout_p", "out_proj_weight", "out_proj_bias", "training", "key_padding_mask", "need_weights",
    "attn_mask", "use_separate_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight", "static_k", "static_v",
    "average_attn_weights", "is_causal",
)  # fmt: skip
"""The parameters of ``F.multi_head_attention_forward`` in their order."""


def _mixed(weights: Tensor, given: dict[str, Any]) -> Tensor:
    # What multi-head attention gives, (tokens, n, features), as a function of its probabilities.
    value, width = given["value"], given["embed_dim_to_check"]
    bias = None if given["in_proj_bias"] is None else given["in_proj_bias"][2 * width :]
    separate = given.get("use_separate_proj_weight")
    projection = given["v_proj_weight"] if separate else given["in_proj_weight"][2 * width :]
    values = F.linear(value, projection, bias)
    if given["bias_v"] is not None:
        values = torch.cat([values, given["bias_v"].expand(1, values.shape[1], -1)])
    if given["add_zero_attn"]:
        values = torch.cat([values, torch.zeros_like(values[:1])])
    heads = values.unflatten(2, (given["num_heads"], -1)).permute(1, 2, 0, 3)
    mixed = (weights.to(heads) @ heads).permute(2, 0, 1, 3).flatten(2)
    return F.linear(mixed, given["out_proj_weight"], given["out_proj_bias"])
