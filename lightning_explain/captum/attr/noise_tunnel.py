"""Statistics of any method's attributions over noisy copies of the inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution import methods
from lightning_explain.attribution.background import in_turn
from lightning_explain.attribution.methods.noise_tunnel import Moments
from lightning_explain.attribution.noise import Deviation, gaussian, noisy
from lightning_explain.captum.arguments import Tensors, as_inputs, require_samples
from lightning_explain.captum.ask import Ask
from lightning_explain.captum.asking import answer, answers
from lightning_explain.captum.attr.attribution import Attribution, GradientAttribution, published
from lightning_explain.captum.distributions import as_deviation, as_distribution
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.captum.repeating import Repetition
from lightning_explain.inputs import Point, leaves
from lightning_explain.randomness import stream
from lightning_explain.registry import unknown

Tunnel: TypeAlias = type[methods.NoiseTunnel]

TUNNELS: dict[str, Tunnel] = {
    "smoothgrad": methods.SmoothGrad,
    "smoothgrad_sq": methods.SmoothGradSquared,
    "vargrad": methods.VarGrad,
}


class NoiseTunnel(Attribution):
    """A statistic of a method's attributions over noisy copies of the inputs.

    See :class:`lightning_explain.attribution.methods.NoiseTunnel`. The noise follows from ``torch.initial_seed()``, and
    moves no random state; integer inputs get none. ``attribute`` hands other arguments to the method.

    Args:
        attribution_method: The method; one of this package, or any other class with ``attribute``.
    """

    def __init__(self, attribution_method: Attribution) -> None:
        super().__init__(attribution_method.forward_func)
        self.attribution_method = attribution_method
        self.is_delta_supported = attribution_method.has_convergence_delta()
        self.is_gradient_method = isinstance(attribution_method, GradientAttribution)

    @property
    def multiplies_by_inputs(self) -> bool:
        return self.attribution_method.multiplies_by_inputs

    def has_convergence_delta(self) -> bool:
        return self.is_delta_supported

    @published
    def attribute(
        self,
        inputs: Tensors,
        nt_type: str = "smoothgrad",
        nt_samples: int = 5,
        nt_samples_batch_size: int | None = None,
        stdevs: float | tuple[float, ...] = 1.0,
        draw_baseline_from_distrib: bool = False,
        **kwargs: Any,
    ) -> Any:  # noqa: ANN401
        if nt_type not in TUNNELS:
            raise ArgumentError(unknown("nt_type", nt_type, TUNNELS))
        if nt_samples < 1 or (nt_samples_batch_size is not None and nt_samples_batch_size < 1):
            raise ArgumentError(
                f"nt_samples and nt_samples_batch_size must be at least 1, got {nt_samples}, {nt_samples_batch_size}."
            )
        settings = _Settings(
            TUNNELS[nt_type],
            nt_samples,
            nt_samples_batch_size,
            as_deviation(stdevs, inputs),
            draw_baseline_from_distrib,
        )
        asks = getattr(type(self.attribution_method).attribute, "asks", None)
        if asks is None:
            return _around(self.attribution_method, inputs, settings, kwargs)
        asked = asks(self.attribution_method, inputs, **kwargs)
        if isinstance(asked, list):
            return answers(self.forward_func, [settings.around(ask) for ask in asked])
        return answer(self.forward_func, settings.around(asked))


@dataclass(frozen=True)
class _Settings:
    tunnel: Tunnel
    copies: int
    at_once: int | None
    stdev: Deviation
    draws: bool

    def around(self, ask: Ask) -> Ask:
        """The question about noisy copies.

        Returns:
            What is asked, of the tunnel around the method.
        """
        spread = self.draws and _holds_tensors(ask.baselines)
        known = as_distribution(ask.baselines, ask.inputs) if spread else None  # type: ignore[arg-type]
        tunnels: dict[str, Any] = {
            held.name: self.tunnel(
                getattr(ask, held.name), self.copies, self.stdev, torch.initial_seed(), "absolute", known
            )
            for held in fields(ask)
            if isinstance(getattr(ask, held.name), methods.Method)
        }
        rows = None if self.at_once is None else self.at_once * max(as_inputs(ask.inputs)[0].shape[:1].numel(), 1)
        most = min(filter(None, (rows, ask.max_rows)), default=None)
        return replace(ask, **tunnels, max_rows=most, baselines=None if spread else ask.baselines)


def _around(method: Attribution, inputs: Tensors, settings: _Settings, kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Call another's ``attribute`` for noisy copies.

    Returns:
        The statistic in the form that the method gives; with the convergence deltas of the copies, if it gives those.
    """
    point, seed = as_inputs(inputs), torch.initial_seed()
    require_samples(point)
    noise = gaussian(point, settings.stdev, seed, "absolute", range(len(point)))
    moments, deltas, single = Moments(settings.tunnel.statistic, settings.copies), list[Tensor](), False
    with_delta = bool(kwargs.get("return_convergence_delta")) and method.has_convergence_delta()
    for rows, copies, repetition in _repetitions(point, settings, kwargs.get("baselines"), seed):
        noisy_point = tuple(map(_leaf, leaves(noisy(point, noise, rows, copies))))
        found = method.attribute(noisy_point if isinstance(inputs, tuple) else noisy_point[0], **repetition.of(kwargs))
        attributions, delta = found if with_delta else (found, None)
        single = isinstance(attributions, Tensor)
        moments.add(len(point[0]), rows, copies, _detached(attributions))
        if delta is not None:
            deltas.append(delta.detach().reshape(len(point[0]), -1))
    result = moments.result()
    given = result[0] if single else result
    return (given, torch.cat(deltas, dim=1).flatten()) if with_delta else given


def _repetitions(
    point: Point, settings: _Settings, baselines: object, seed: int
) -> Iterator[tuple[Tensor, Tensor, Repetition]]:
    # The copies of a sample stand together, as Captum repeats them.
    n, device = len(point[0]), point[0].device
    drawn = None
    if settings.draws and _holds_tensors(baselines):
        known = as_distribution(baselines, point)  # type: ignore[arg-type]
        drawn = in_turn(len(known[0]), settings.copies, stream("noise tunnel baselines", seed)).to(device)
    size = settings.at_once or settings.copies
    for start in range(0, settings.copies, size):
        numbers = torch.arange(start, min(start + size, settings.copies), device=device)
        rows, copies = torch.arange(n, device=device).repeat_interleave(len(numbers)), numbers.repeat(n)
        yield rows, copies, Repetition(len(numbers), n, drawn=None if drawn is None else drawn[copies])


def _leaf(tensor: Tensor) -> Tensor:
    # As methods of gradients want it.
    return tensor.detach().requires_grad_(tensor.is_floating_point())


def _detached(attributions: Tensors) -> Point:
    return tuple(leaf.detach() for leaf in ((attributions,) if isinstance(attributions, Tensor) else attributions))


def _holds_tensors(baselines: object) -> bool:
    return any(isinstance(held, Tensor) for held in (baselines if isinstance(baselines, tuple) else (baselines,)))
