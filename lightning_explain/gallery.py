"""The pictures of a run: one for each sample, and one contact sheet for each method."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from lightning_explain.attribution.attribution import Attribution
from lightning_explain.attribution.place import Layer
from lightning_explain.attribution.target import probability_readout
from lightning_explain.examination import Examination, Explained
from lightning_explain.inputs import leaves
from lightning_explain.inputs import names as input_names
from lightning_explain.probe import ProbeSet
from lightning_explain.render import Picture, Tile, contact_sheet, fixed_scale, relative, sample_picture, tiles

COLUMNS = 8
ROWS = 8
IMAGE_DIMS = 4
NOTED = {"srg": "SRG {:.2f}", "relevance_mass": "mask {:.1f}×"}
DESCRIPTION = (
    "Red speaks for the explained output, blue against it. Attributions are divided by their mean absolute value in"
    " the sample: 1 is what every feature would have if relevance were spread evenly. The colors saturate at the number"
    " beneath; it was chosen at the first validation and holds for the whole run."
)


class Gallery:
    """Draws examinations, one after the other, on color scales that hold for the whole run.

    Args:
        name: The prefix of the pictures' tags.
        samples: The samples that are drawn, at most.
    """

    def __init__(self, name: str, samples: int) -> None:
        self.name, self.samples = name, samples
        self.start()

    def start(self) -> None:
        """Begin a run: its first pictures choose the scales."""
        self.scales: dict[str, float] = {}
        self._history: dict[str, deque[tuple[str, list[np.ndarray]]]] = {}

    def pictures(self, probe: ProbeSet, examination: Examination, step: int, *, remember: bool = True) -> list[Picture]:
        """Draw what all methods say of the first samples.

        Args:
            probe: The samples.
            examination: What the methods say of them.
            step: The step, for the contact sheets' columns.
            remember: Whether the next contact sheets show this column too.

        Returns:
            A picture for each sample, then a contact sheet for each method.
        """
        count = min(self.samples, len(probe))
        if not count:
            return []
        originals = _originals(probe, count)
        overlays = [tile for entry in examination.explained for tile in self._overlays(probe, entry, count)]
        first = examination.explained[0].attribution
        pictures = [
            sample_picture(
                f"{self.name}/{probe.names[i]}",
                [Tile(title, images[i]) for title, images in originals]
                + [Tile(title, images[i], self.scales[key], notes[i]) for title, key, images, notes in overlays],
                [probe.names[i], caption(probe, first, i)],
                DESCRIPTION,
            )
            for i in range(count)
        ]
        sheets = [self._sheet(probe, originals, overlay, step, remember) for overlay in overlays]
        return pictures + sheets

    def _overlays(
        self, probe: ProbeSet, entry: Explained, count: int
    ) -> Iterator[tuple[str, str, list[np.ndarray], list[str]]]:
        point, labels = entry.attribution.point, entry.attribution.names
        for part, label in zip(point, labels, strict=True):
            if len(point) > 1 and not part.any():
                continue  # another input that a coarse map leaves out
            key = entry.name if len(point) == 1 else f"{entry.name}:{label}"
            # Channels are summed first: that is what is drawn.
            values = relative((part.sum(dim=1, keepdim=True) if part.ndim == IMAGE_DIMS else part).numpy())
            self.scales.setdefault(key, fixed_scale(values))
            samples = _background(probe, entry.attribution, label, part)
            images = tiles(samples[:count], values[:count], self.scales[key])
            yield key, key, images, [_note(entry, i) for i in range(count)]

    def _sheet(
        self,
        probe: ProbeSet,
        originals: list[tuple[str, list[np.ndarray]]],
        overlay: tuple[str, str, list[np.ndarray], list[str]],
        step: int,
        remember: bool,
    ) -> Picture:
        title, key, images, _ = overlay
        history = deque(self._history.get(key, ()), maxlen=COLUMNS)
        history.append((f"step {step}", images[:ROWS]))
        if remember:
            self._history[key] = history
        return contact_sheet(
            f"{self.name}/contact_sheet/{key}",
            [*((name, shown[:ROWS]) for name, shown in originals), *history],
            probe.names[: len(images)][:ROWS],
            f"{title} over the last {len(history)} validations" if len(history) > 1 else title,
            DESCRIPTION,
            self.scales[key],
        )


def caption(probe: ProbeSet, attribution: Attribution, sample: int) -> str:
    """What the sample is, and what the model makes of it.

    Returns:
        Such as ``label 7 · predicted 9 (61.2 %) · explains 7``.
    """
    outputs = attribution.outputs
    parts = [] if probe.label is None else [f"label {_class(probe, probe.label[sample])}"]
    if outputs[sample].numel() == 1:
        parts.append(f"output {outputs[sample].item():.4g}")
    elif outputs.ndim == 2:
        best = outputs[sample].argmax()
        normalise = probability_readout(outputs, best.view(1, 1)) == "probability"
        shares = outputs[sample].softmax(dim=0) if normalise else outputs[sample]
        parts.append(f"predicted {_class(probe, best)} ({float(shares[best]):.1%})")
    if attribution.target is not None:
        index = attribution.target[sample]
        parts.append(f"explains {_class(probe, index[0]) if index.numel() == 1 else tuple(index.tolist())}")
    return " · ".join(parts)


def _class(probe: ProbeSet, index: Tensor) -> str:
    number = index.item()
    known = probe.class_names is not None and isinstance(number, int) and number < len(probe.class_names)
    return probe.class_names[int(number)] if known and probe.class_names else f"{number:.6g}"


def _note(entry: Explained, sample: int) -> str:
    shown = (form.format(entry.scores[name].per_sample[sample]) for name, form in NOTED.items() if name in entry.scores)
    return " · ".join(shown)


def _originals(probe: ProbeSet, count: int) -> list[tuple[str, list[np.ndarray]]]:
    several = len(leaves(probe.inputs)) > 1
    return [
        (name if several else "original", tiles(leaf[:count].float().numpy()))
        for name, leaf in zip(input_names(probe.inputs), leaves(probe.inputs), strict=True)
    ]


def _background(probe: ProbeSet, attribution: Attribution, name: str, part: Tensor) -> np.ndarray:
    if isinstance(attribution.place, Layer):
        return torch.zeros_like(part).numpy()
    return dict(zip(input_names(probe.inputs), leaves(probe.inputs), strict=True))[name].float().numpy()
