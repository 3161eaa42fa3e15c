"""Which scores there will be, and what they are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lightning_explain.attribution.engine import Explainer
from lightning_explain.attribution.place import Place
from lightning_explain.metrics import AttributionMetric
from lightning_explain.names import class_name, random_lines
from lightning_explain.probe import ProbeSet


@dataclass(frozen=True)
class Plan:
    """Methods at their places, and the metrics that score them.

    Args:
        probe: The samples.
        metrics: What is scored.
        explainers: What explains.
        spaces: Where the maps of each live, by its name: a coarse map that is upsampled lives at the input.
    """

    probe: ProbeSet
    metrics: tuple[AttributionMetric, ...]
    explainers: tuple[Explainer, ...]
    spaces: Mapping[str, Place]

    @property
    def places(self) -> list[Place]:
        """The places where maps live."""
        return list({str(place): place for place in self.spaces.values()}.values())

    @property
    def every_place(self) -> list[Place]:
        """All places where something is explained or scored."""
        places = [*(chosen.place for chosen in self.explainers), *self.spaces.values()]
        return list({str(place): place for place in places}.values())

    def applying(self, chosen: Explainer) -> Iterator[AttributionMetric]:
        """The metrics that can score an explainer.

        Returns:
            Metrics, in the order in which they were given.
        """
        space = self.spaces[chosen.name]
        alone = sum(str(other) == str(space) for other in self.spaces.values()) < 2
        return (
            metric
            for metric in self.metrics
            if metric.missing(chosen.method, space, self.probe) is None and not (metric.compares and alone)
        )

    def yardsticks_at(self, place: Place) -> list[AttributionMetric]:
        """The metrics that score random attributions, too.

        Returns:
            Those that score a method whose maps live at ``place``.
        """
        living = [chosen for chosen in self.explainers if str(self.spaces[chosen.name]) == str(place)]
        applying = {metric.name for chosen in living for metric in self.applying(chosen)}
        return [metric for metric in self.metrics if metric.yardstick and metric.name in applying]

    def score_names(self, prefix: str, *, per_class: bool = False) -> tuple[str, ...]:
        """The full names of all scores that will exist.

        Args:
            prefix: What they begin with.
            per_class: Whether there are scores of each class's samples too.

        Returns:
            Names, ``prefix/method/metric`` and ``prefix/method/metric/class_<label>``.
        """
        own = [f"{prefix}/{e.name}/{m.name}" for e in self.explainers for m in self.applying(e)]
        random = [f"{prefix}/random{place}/{m.name}" for place in self.places for m in self.yardsticks_at(place)]
        classes = self._classes if per_class else []
        return (*own, *random, *(class_name(name, c) for c in classes for name in (*own, *random)))

    def yardsticks(self, prefix: str, *, per_class: bool = False) -> dict[str, str]:
        """The random line of every score that has one: random attributions of the same samples, where its own live.

        Args:
            prefix: What the names begin with.
            per_class: Whether there are scores of each class's samples too.

        Returns:
            ``prefix/random[@layer]/metric`` by ``prefix/method/metric``. A map that is upsampled lives at the input.
        """
        scored = (
            (e.name, str(self.spaces[e.name]), m.name) for e in self.explainers for m in self.applying(e) if m.yardstick
        )
        return random_lines(prefix, scored, self._classes if per_class else [])

    def directions(self, prefix: str, *, per_class: bool = False) -> dict[str, bool | None]:
        """Whether higher is better, for every score.

        Args:
            prefix: What the names begin with.
            per_class: Whether there are scores of each class's samples too.

        Returns:
            The direction by full name; None if the score has none.
        """
        of = {metric.name: metric.higher_is_better for metric in self.metrics}
        names = self.score_names(prefix, per_class=per_class)
        return {name: of[name.removeprefix(f"{prefix}/").split("/")[1]] for name in names}

    def require_sense(self) -> None:
        """Make sure that no two lines have the same name, and that every metric scores something.

        Raises:
            ValueError: If not; the message says what would do.
        """
        self._require_different_places()
        self._require_use()

    def _require_different_places(self) -> None:
        for place in self.spaces.values():
            same = [other for other in self.spaces.values() if str(other) == str(place) and other != place]
            if same:
                raise ValueError(
                    f"{place!r} and {same[0]!r} would be logged under the same name, 'random{place}'; give one of"
                    " them a monitor of its own."
                )

    def _require_use(self) -> None:
        for metric in self.metrics:
            reasons = [
                metric.missing(chosen.method, self.spaces[chosen.name], self.probe) for chosen in self.explainers
            ]
            if all(reasons):
                raise ValueError(f"The metric {metric.name!r} applies to no method: {'; '.join(map(str, reasons))}.")

    @property
    def _classes(self) -> list[int]:
        return [] if self.probe.label is None else [int(c) for c in self.probe.label.unique()]
