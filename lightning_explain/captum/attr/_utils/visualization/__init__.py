"""Figures of attributions, by Captum's names and in its colors."""

from lightning_explain.captum.attr._utils.visualization.image import (
    ImageVisualizationMethod as ImageVisualizationMethod,
)
from lightning_explain.captum.attr._utils.visualization.image import visualize_image_attr as visualize_image_attr
from lightning_explain.captum.attr._utils.visualization.image import (
    visualize_image_attr_multiple as visualize_image_attr_multiple,
)
from lightning_explain.captum.attr._utils.visualization.mask import draw_mask_border as draw_mask_border
from lightning_explain.captum.attr._utils.visualization.mask import draw_mask_legend as draw_mask_legend
from lightning_explain.captum.attr._utils.visualization.scale import VisualizeSign as VisualizeSign
from lightning_explain.captum.attr._utils.visualization.text import VisualizationDataRecord as VisualizationDataRecord
from lightning_explain.captum.attr._utils.visualization.text import format_classname as format_classname
from lightning_explain.captum.attr._utils.visualization.text import format_special_tokens as format_special_tokens
from lightning_explain.captum.attr._utils.visualization.text import format_tooltip as format_tooltip
from lightning_explain.captum.attr._utils.visualization.text import format_word_importances as format_word_importances
from lightning_explain.captum.attr._utils.visualization.text import visualize_text as visualize_text
from lightning_explain.captum.attr._utils.visualization.timeseries import (
    TimeseriesVisualizationMethod as TimeseriesVisualizationMethod,
)
from lightning_explain.captum.attr._utils.visualization.timeseries import (
    visualize_timeseries_attr as visualize_timeseries_attr,
)
