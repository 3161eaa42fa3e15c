"""A line of the table, and how a network is asked."""

from collections.abc import Callable
from dataclasses import dataclass

from lightning_explain import Layer, explain

ROWS_AT_A_TIME = (64, 256)
"""What Captum's ``internal_batch_size`` is tuned over, besides its default."""


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Args:
        name: The method, and its place.
        ours: Gives attributions, of the model or of the ``replica`` that is asked for.
        theirs: The same with Captum, as a function of how much it may do at once (None: its default); None: Captum
            has no such method.
        sizes: What is tried to tune Captum.
        drawn: Whether both draw random numbers, and so can agree roughly only.
        note: What a reader should know.
    """

    name: str
    ours: Callable
    theirs: Callable | None = None
    sizes: tuple = ()
    drawn: bool = False
    note: str = ""


def named(key, size):
    """The argument ``key``, if it is not to be the default."""
    return {} if size is None else {key: size}


def asking(*arguments, **settings):
    """What explains, as a function of the replica."""
    return lambda replica=False: explain(*arguments, **settings, replica=replica).point[0]


class Asked:
    """A network, ready to be explained by both."""

    def __init__(self, network):
        self.network = network
        self.given = {"target": network.target}

    def at_place(self, method):
        """Explain where gradients can begin: the inputs, or the embedding."""
        n = self.network
        return asking(n.model, n.inputs, method, n.place, n.target, baseline=n.blank)

    def inside(self, method, place=None, baseline="zeros"):
        """Explain along a path of what ``inside`` is given."""
        n = self.network
        named_inside = Layer(self.late_inside) if place is Layer else place
        baseline = n.z0 if isinstance(baseline, str) else baseline
        return asking(n.inside, n.z, method, named_inside, n.target, baseline=baseline)

    def at_late(self, method):
        """Explain the late layer."""
        n = self.network
        return asking(n.model, n.inputs, method, Layer(n.late), n.target, baseline=n.blank)

    def perturbed(self, method, mask=None):
        """Explain by what happens to the model's own inputs."""
        n = self.network
        features = None if mask is None else n.masks[mask]
        return asking(n.model, n.inputs, method, None, n.target, baseline=n.blank, feature_mask=features)

    @property
    def late_inside(self):
        """The late layer's name in ``inside``."""
        return next(name for name, module in self.network.inside.named_modules() if module is self.network.layer)

    @property
    def captum_baseline(self):
        """What stands for nothing among the model's own inputs."""
        return 0 if isinstance(self.network.blank, str) else self.network.blank
