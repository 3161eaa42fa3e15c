"""Names that users write in configurations, and the classes they stand for."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")
C = TypeVar("C", bound=type)


class Registry(Mapping[str, type[T]]):
    """A read-only mapping from name to class, filled by the decorator :meth:`register`.

    Args:
        kind: What the entries are, for error messages (``"attribution method"``).

    Example:
        >>> shapes = Registry[object]("shape")
        >>> @shapes.register("circle")
        ... class Circle: ...
        >>> shapes["circle"].__name__
        'Circle'
        >>> shapes["cirle"]
        Traceback (most recent call last):
        ...
        KeyError: "No shape 'cirle'. Did you mean 'circle'? Known: circle."
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._classes: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[C], C]:
        """Enter the decorated class under ``name``.

        Returns:
            The decorator; it returns the class as it was, with ``name`` set on it.

        Raises:
            ValueError: If the name is taken: an entry is never replaced in silence.
        """

        def enter(cls: C) -> C:
            if name in self._classes:
                raise ValueError(f"The {self.kind} {name!r} is already registered, by {self._classes[name].__name__}.")
            self._classes[name] = cls
            cls.name = name  # type: ignore[attr-defined]
            return cls

        return enter

    def __getitem__(self, name: str) -> type[T]:
        try:
            return self._classes[name]
        except KeyError:
            raise KeyError(unknown(self.kind, name, self._classes)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """Say that ``name`` is not among ``known``, suggest the nearest and list them all.

    Returns:
        The sentence, ready to be raised.

    Example:
        >>> unknown("layer", "conv", ["conv1", "head"])
        "No layer 'conv'. Did you mean 'conv1'? Known: conv1, head."
    """
    names = [str(k) for k in known]
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"No {kind} {name!r}.{hint} Known: {', '.join(names) or 'none'}."
