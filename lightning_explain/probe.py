"""The probe set: the fixed samples that are explained at every validation."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_explain import region_mask
from lightning_explain.baseline import Baseline
from lightning_explain.baseline import resolve as resolve_baseline
from lightning_explain.feature_mask import FeatureMask, of_inputs, of_items
from lightning_explain.feature_mask import select as select_mask
from lightning_explain.inputs import (
    Inputs,
    batch_size,
    first_floating,
    is_continuous,
    leaves,
    rebuild,
    require_finite,
    take,
)
from lightning_explain.inputs import names as input_names
from lightning_explain.region_mask import REGIONS, Mask, Region
from lightning_explain.registry import unknown
from lightning_explain.sampling import collect, draw, first
from lightning_explain.targets import Target, as_label, as_target


@dataclass(frozen=True, eq=False)
class ProbeSet:
    """Samples with all that is needed to explain and to score them; nothing of it changes in a run.

    Make one with :meth:`from_tensors`, :meth:`from_dataset` or :meth:`from_dataloader`. The tensors
    are copied. Two probe sets are the same if their :attr:`identity` is.

    Args:
        inputs: A tensor, a tuple (passed to the model as positional arguments) or a dict of tensors (as
            keyword arguments), the batch first.
        label: Class labels (n,) (integers), or regression targets (floats). Only integer labels can
            be targets.
        target: The model output that is explained: ``"label"``, ``"predicted"`` (the arg max, anew at
            each validation), ``"output"`` (the model gives one number per sample), an index, or indices
            (n,) or (n, k). None: ``"label"`` if there are class labels, ``"output"`` for regression
            labels, else ``"predicted"``.
        baseline: The "absent" input: ``"zeros"``, ``"mean"`` (over the probe set), ``"blur"``, a
            number, or tensors like the inputs.
        mask: True where a region of interest is: (n, positions...) or (positions...) for the first floating
            point input, whose positions are its dimensions behind the channels.
        feature_mask: Which elements of the inputs are perturbed as one, by methods that perturb features: integers, in
            the structure of the inputs that can be explained (floating point ones, if there are some); see
            :func:`~lightning_explain.feature_mask.match`. None: those of a position, whatever its channel. At
            layers features are positions always.
        region: What the mask marks: the ``"object"``, where relevance should be (higher is better), or
            an ``"artefact"`` such as a watermark, where it should not.
        names: A name for each sample, for pictures and records.
        class_names: What the output indices are called.

    Raises:
        ValueError: If something is empty, not finite or of the wrong shape; the message says which.
        TypeError: If the inputs are not tensors.

    Example:
        >>> probe = ProbeSet.from_tensors(torch.randn(4, 1, 8, 8), label=torch.tensor([0, 1, 2, 1]))
        >>> len(probe), probe.target, probe.modality
        (4, 'label', 'image')
    """

    inputs: Inputs
    _: KW_ONLY
    label: Tensor | None = None
    target: Target = None  # type: ignore[assignment]  # chosen from the labels if left out
    baseline: Baseline = "zeros"
    mask: Tensor | None = None
    feature_mask: Inputs | None = None
    region: Region = "object"
    names: Sequence[str] = ()
    class_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        inputs = rebuild(self.inputs, tuple(leaf.detach().cpu().clone() for leaf in leaves(self.inputs)))
        count = batch_size(inputs)
        if count == 0:
            raise ValueError("The probe set is empty: it needs at least one sample.")
        require_finite(inputs)
        self._set("inputs", inputs)
        self._set("label", as_label(self.label, count))
        self._set("target", as_target(self.target, self.label, count))
        baseline = resolve_baseline(self.baseline, inputs)
        require_finite(baseline, "baseline of ")
        self._set("baseline", baseline)
        self._set("mask", region_mask.of_inputs(self.mask, inputs))
        self._set("feature_mask", None if self.feature_mask is None else of_inputs(self.feature_mask, inputs))
        self._set("names", _names(self.names, count))
        self._set("class_names", None if self.class_names is None else tuple(map(str, self.class_names)))
        if self.region not in REGIONS:
            raise ValueError(unknown("region", self.region, REGIONS))

    def __len__(self) -> int:
        return batch_size(self.inputs)

    @classmethod
    def from_tensors(cls, inputs: Inputs, **fields: Any) -> ProbeSet:
        """Take all samples of ``inputs``.

        Args:
            inputs: The samples.
            **fields: The fields of :class:`ProbeSet`.

        Returns:
            The probe set.
        """
        return cls(inputs, **fields)

    @classmethod
    def from_dataset(
        cls,
        dataset: Dataset[Any],
        size: int = 32,
        *,
        stratify: bool = True,
        seed: int = 0,
        mask: Mask | None = None,
        feature_mask: FeatureMask | None = None,
        **fields: Any,
    ) -> ProbeSet:
        """Draw ``size`` samples of a dataset; no global random state moves.

        Items are ``input``, ``(input, ..., label)``, or dicts whose label is called ``label``,
        ``labels``, ``target`` or ``y``.

        Args:
            dataset: A map-style dataset.
            size: The number of samples.
            stratify: The same number of each class, as far as there are enough. Labels are read
                from the dataset's ``targets``, ``labels`` or ``tensors`` where it has them, else
                from every item.
            seed: Which samples.
            mask: As in :class:`ProbeSet`, with a row for each item of the *dataset*; or a function
                from an item's index to its mask; or one mask for all.
            feature_mask: As in :class:`ProbeSet`, with a row for each item of the *dataset*; or a function from an
                item's index to its mask, without the batch dimension; or one mask for all, with 1 in front.
            **fields: Further fields of :class:`ProbeSet`.

        Returns:
            The probe set, one sample of each class in turn, or in the order of the dataset.

        Raises:
            ValueError: If the dataset has fewer than ``size`` samples.
        """
        indices = draw(dataset, size, stratify=stratify, seed=seed)
        inputs, label = collect(dataset, indices, seed)
        total = len(dataset)  # type: ignore[arg-type]
        chosen = region_mask.of_items(mask, indices, total, inputs)
        features = None if feature_mask is None else of_items(feature_mask, indices, total)
        return cls(inputs, **{"label": label, "mask": chosen, "feature_mask": features} | fields)

    @classmethod
    def from_dataloader(
        cls,
        dataloader: DataLoader[Any],
        size: int = 32,
        **fields: Any,
    ) -> ProbeSet:
        """Take the first ``size`` samples that a data loader gives; no random state of yours moves.

        Args:
            dataloader: Gives batches, made like the items of :meth:`from_dataset`.
            size: The number of samples.
            **fields: Further fields of :class:`ProbeSet`.

        Returns:
            The probe set.

        Raises:
            ValueError: If the loader gives fewer than ``size`` samples.
        """
        inputs, label = first(dataloader, size)
        return cls(inputs, **{"label": label} | fields)

    def save(self, path: Path | str) -> None:
        """Write the probe set to a file, for an audit of a checkpoint or another run.

        Args:
            path: The file; it holds tensors and plain values alone, no code.
        """
        torch.save({field.name: getattr(self, field.name) for field in fields(self) if field.name != "_"}, path)

    @classmethod
    def load(cls, path: Path | str) -> ProbeSet:
        """Read what :meth:`save` wrote.

        Returns:
            The same probe set: its :attr:`identity` is that of the saved one.

        Raises:
            ValueError: If there is no such file, or it holds something else.
        """
        if not Path(path).is_file():
            raise ValueError(f"There is no file {path} to read a probe set from; ProbeSet.save writes one.")
        try:
            held = torch.load(path, map_location="cpu", weights_only=True)
            return cls(held.pop("inputs"), **held)
        except (pickle.UnpicklingError, AttributeError, KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"{path} holds no probe set that ProbeSet.save wrote ({error}).") from error

    def sample(self, number: int) -> ProbeSet:
        """A probe set of one sample, without a mask.

        Returns:
            The probe set.
        """
        row = torch.tensor([number])
        target = self.target
        return ProbeSet(
            take(self.inputs, row),
            label=None if self.label is None else self.label[row],
            target=target[row] if isinstance(target, Tensor) and target.ndim else target,
            baseline=take(self.baseline, row),  # type: ignore[arg-type]  # tensors, since __post_init__
            feature_mask=None if self.feature_mask is None else select_mask(self.feature_mask, row, len(self)),
            names=[self.names[number]],
            class_names=self.class_names,
        )

    @property
    def modality(self) -> str:
        """What the first floating point input looks like: image, video, time_series, tabular; or text (ids)."""
        leaf = first_floating(self.inputs)
        if not is_continuous(leaf):
            return "text"
        return {1: "tabular", 2: "tabular", 3: "time_series", 4: "image", 5: "video"}.get(leaf.ndim, "tensor")

    @cached_property
    def identity(self) -> str:
        """A hash of everything that scores depend on; it is stored in checkpoints."""
        digest = hashlib.sha256()
        masks = (self.mask,) if self.feature_mask is None else (self.mask, self.feature_mask)
        for part in (self.inputs, self.baseline, self.label, self.target, *masks):
            if not isinstance(part, (Tensor, tuple, dict)):
                digest.update(repr(part).encode())
                continue
            for name, tensor in zip(input_names(part), leaves(part), strict=True):
                digest.update(repr((name, tensor.dtype, tensor.shape)).encode())
                digest.update(tensor.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
        digest.update(self.region.encode())
        return digest.hexdigest()[:16]

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


def _names(given: Sequence[str], count: int) -> tuple[str, ...]:
    if not given:
        return tuple(f"sample_{i:0{len(str(count - 1))}d}" for i in range(count))
    if len(given) != count or len(set(given)) != count:
        raise ValueError(f"Expected {count} different names, one for each sample, got {len(set(given))}.")
    return tuple(map(str, given))
