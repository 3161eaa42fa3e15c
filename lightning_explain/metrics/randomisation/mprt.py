"""Model parameter randomisation: does the method look at the parameters at all?"""

from __future__ import annotations

from torch import Tensor

from lightning_explain.metrics.evaluation import Evaluation
from lightning_explain.metrics.metric import METRICS, AttributionMetric
from lightning_explain.metrics.ranks import map_similarity


@METRICS.register("mprt")
class MPRT(AttributionMetric):
    """The rank correlation of each map with its map for the same model with random parameters, signs left out.

    In [-1, 1]; lower is better, about 0 is ideal: a method whose maps do not change when all that was
    learnt is gone explains the input, not the model. It says more of the method than of the training.
    All parameters are random at once, drawn as for a fresh model; those maps are computed once in a run.

    J. Adebayo et al.: Sanity Checks for Saliency Maps. arXiv:1810.03292, 2018.

    Example:
        >>> import torch
        >>> from lightning_explain import ProbeSet, evaluate
        >>> model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(3, 2, bias=False))
        >>> model[1].weight.data = torch.tensor([[3.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
        >>> probe = ProbeSet.from_tensors(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]) / 4, target=0)
        >>> explained = evaluate(model, probe, ["input_x_gradient"], [MPRT()]).explained[0]
        >>> round(explained.scores["mprt"].mean, 3)
        -0.5
    """

    higher_is_better = False
    randomises = True
    default = True
    plot_lower_bound = -1.0
    plot_upper_bound = 1.0

    def per_sample(self, evaluation: Evaluation) -> Tensor:  # noqa: D102
        if evaluation.randomised is None:
            raise ValueError("mprt needs the attributions of the model with random parameters.")
        return map_similarity(evaluation.scores.abs(), evaluation.randomised.to(evaluation.scores.device).abs())
