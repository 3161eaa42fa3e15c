"""The pairs of configuration and algorithm of Captum 0.9.0's own table, to be run with either library."""

import copy
import functools
import importlib
import random
from dataclasses import dataclass, field

import numpy as np
import torch
from captum.testing.attr.helpers.gen_test_utils import get_target_layer
from captum.testing.attr.helpers.test_config import config
from torch import Tensor, nn

CAPTUM, OURS = "captum.attr", "lightning_explain.captum.attr"


def seed():
    """Reset every generator that either library may draw from."""
    random.seed(1234)
    np.random.seed(1234)
    torch.manual_seed(1234)


def tuple_of(given):
    return given if isinstance(given, tuple) else (given,)


def rows(given, chosen):
    """Those samples of a tensor, or of the tensors of a tuple."""
    if isinstance(given, tuple):
        return tuple(rows(each, chosen) for each in given)
    return given[chosen] if isinstance(given, Tensor) else given


@dataclass(frozen=True)
class Pair:
    """A configuration, and one of its algorithms.

    Attributes:
        name: of the configuration.
        algorithm: name of the class.
        made: the configuration as Captum wrote it.
        arguments: of the constructor, beyond model and layer.
    """

    name: str
    algorithm: str
    made: dict = field(repr=False, compare=False)
    arguments: dict = field(default_factory=dict, compare=False)

    @property
    def noise(self):
        return self.made.get("noise_tunnel", False)

    @property
    def layer(self):
        return self.made.get("layer")

    @property
    def per_sample(self):
        """Whether it has a target for each sample, in a list or a tensor."""
        return isinstance(self.made["attribute_args"].get("target"), (list, Tensor))

    @property
    def tolerance(self):
        return self.made.get("target_delta", 1e-4)

    def question(self):
        """Model and arguments, copied: no test sees what another one left."""
        return copy.deepcopy(self.made["model"]), copy.deepcopy(self.made["attribute_args"])

    def method(self, home, model, layers=None):
        """The algorithm, of either library."""
        attr = importlib.import_module(home)
        algorithm = getattr(attr, self.algorithm)
        if self.layer is not None:
            layers = layers or get_target_layer(model, self.layer)
            algorithm = functools.partial(algorithm, layer=layers)
        method = algorithm(model, **self.arguments)
        return attr.NoiseTunnel(method) if self.noise else method

    def __str__(self):
        return f"{self.name}-{self.algorithm}"


def alone(arguments, i, n, distributed):
    """What is asked of sample i, as a batch of one."""
    one = slice(i, i + 1)
    chosen = dict(arguments, inputs=rows(arguments["inputs"], one))
    if len(arguments["target"]) == n:
        chosen["target"] = arguments["target"][i]
    if "additional_forward_args" in arguments:
        chosen["additional_forward_args"] = rows(tuple_of(arguments["additional_forward_args"]), one)
    if "baselines" in arguments and not distributed:
        chosen["baselines"] = rows(arguments["baselines"], one)
    return chosen


def rolled(x, mask):
    """A permutation that is no accident: every sample gets its neighbour's features."""
    return torch.where(mask.bool(), x.roll(1, dims=0), x)


def own(algorithm):
    return {"perm_func": rolled} if algorithm == "FeaturePermutation" else {}


PAIRS = [Pair(made["name"], kind.__name__, made, own(kind.__name__)) for made in config for kind in made["algorithms"]]


class Raising(nn.Module):
    def forward(self, *_, **__):
        raise AssertionError("this layer raises")
