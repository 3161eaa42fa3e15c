"""Images whose features are regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.colors import hsv_to_rgb
from PIL import Image
from torch import Tensor

from lightning_explain.captum.attr._utils.interpretable_input.interpretable import InterpretableInput
from lightning_explain.captum.attr._utils.visualization.figure import show as show_figures
from lightning_explain.captum.attr._utils.visualization.mask import draw_mask_border, draw_mask_legend
from lightning_explain.captum.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OPACITY, _BORDER_OPACITY = 0.6, 0.8
# Hues a golden section apart are far from each other, however many there are.
_GOLDEN = 0.618034


class ImageMaskInput(InterpretableInput):
    """An image and its regions: where one is absent, its pixels have the baseline's color.

    Args:
        image: Of as many channels as the baseline.
        mask: (H, W), the number of each pixel's region. None: the image is one region.
        mask_list: Instead of a mask, for regions that overlap: (H, W) for each, true inside. A pixel is there if all
            of its regions are.
        baseline: The color of what is absent, in [0, 255].
        processor_fn: Makes of an image what the model takes, such as a multi-modal processor.

    Raises:
        ArgumentError: If a mask is not as large as the image, or the baseline has not its channels.
    """

    def __init__(
        self,
        image: Image.Image,
        mask: Tensor | None = None,
        mask_list: list[Tensor] | None = None,
        baseline: tuple[int, int, int] = (255, 255, 255),
        processor_fn: Callable[[Image.Image], Any] = lambda x: x,
    ) -> None:
        super().__init__()
        self.image, self.baseline, self.processor_fn = image, baseline, processor_fn
        if np.ndim(baseline) and len(image.getbands()) != len(baseline):
            raise ArgumentError(
                f"Expected an image of {len(baseline)} channels, as the baseline has, got {image.mode!r};"
                " image.convert('RGB') has three."
            )
        if mask_list is not None:
            mask, ids = torch.empty(0), list(range(len(mask_list)))
        else:
            mask = torch.zeros(image.size[::-1], dtype=torch.int32) if mask is None else mask
            ids = [int(number) for number in mask.unique().tolist()]
        self.mask, self.mask_list = mask, mask_list or []
        for region in self.mask_list or [self.mask]:
            self._check(region)
        self.mask_id_to_idx = {number: index for index, number in enumerate(ids)}
        self.n_itp_features = len(ids)
        self.values = [f"image_feature_{number}" for number in ids]
        self.original_model_inputs = processor_fn(image)

    def to_tensor(self) -> Tensor:
        """All features there.

        Returns:
            Ones, (1, features).
        """
        return torch.ones(1, self.n_itp_features)

    def to_model_input(self, perturbed_tensor: Tensor | None = None) -> Any:  # noqa: ANN401  (what the model takes)
        """The image, processed.

        Args:
            perturbed_tensor: (1, features): which of them are there, by not being zero. None: all.

        Returns:
            What ``processor_fn`` makes of the image without the others.
        """
        if perturbed_tensor is None:
            return self.original_model_inputs
        absent = (perturbed_tensor[0] == 0).cpu()
        pixels = np.array(self.image)
        pixels[(self._memberships() & absent[:, None, None]).any(dim=0).numpy()] = self.baseline
        return self.processor_fn(Image.fromarray(pixels))

    def get_mask_list(self) -> list[Tensor]:
        """The regions.

        Returns:
            For each a mask (H, W).
        """
        return self.mask_list or [self.mask == number for number in self.mask_id_to_idx]

    def format_pixel_attr(self, itp_attr: Tensor) -> Tensor:
        """Attributions of all pixels.

        Args:
            itp_attr: (..., features).

        Returns:
            (..., H, W); where regions overlap, their sum.
        """
        if not self.mask_list:
            return itp_attr[..., self.mask.unique(return_inverse=True)[1].to(itp_attr.device)]
        regions = self._memberships().to(itp_attr.device, itp_attr.dtype)
        summed: Tensor = torch.tensordot(itp_attr, regions, dims=1)
        return summed

    def plot_mask_overlay(
        self, show: bool = False, border_width: int = 0, show_legends: bool = True
    ) -> tuple[Figure, Axes] | None:
        """Draw the regions over the image.

        Args:
            show: Whether pyplot shows the figure.
            border_width: Pixels of each region's border; 0 for none.
            show_legends: Whether the regions' numbers are written on them.

        Returns:
            The figure and its axes; None if it was shown.
        """
        from matplotlib import pyplot

        figure, axes = pyplot.subplots()
        axes.imshow(np.asarray(self.image))
        for number, region in zip(self.mask_id_to_idx, self._memberships().numpy(), strict=True):
            color = hsv_to_rgb((self.mask_id_to_idx[number] * _GOLDEN % 1, 0.8, 0.95))
            axes.imshow(region[:, :, None] * np.array([*color, _OPACITY]))
            draw_mask_border(axes, region, border_width, np.array([*color, _BORDER_OPACITY]))
            if show_legends:
                draw_mask_legend(axes, region, str(number))
        figure.set_facecolor("white")
        axes.axis("off")
        show_figures(show)
        return None if show else (figure, axes)

    def _memberships(self) -> Tensor:
        return torch.stack([region.cpu().bool() for region in self.get_mask_list()])

    def _check(self, region: Tensor) -> None:
        size = self.image.size[::-1]
        if tuple(region.shape) != size:
            raise ArgumentError(f"Expected masks of the image's height and width {size}, got {tuple(region.shape)}.")
