"""llave-bench: how good is this multimodal embedding model, and is it better than that one?

`harness` is the engine that measures embedders. `tasks` holds the datasets, `leaderboards` compares results, and
`trainers` trains checkpoints. `llave` is the Python API and the command line.

This file finds these packages beside each other, whatever else the path holds under their names. `llave` loads it
before all others, by its path. Until then a file of the user may hide any module. So it imports only what Python
itself has loaded at its start.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType, TracebackType

HOME = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
"""The folder that holds the packages."""
NAMES = ("harness", "tasks", "leaderboards", "trainers", "llave")
_NEEDED = frozenset(
    (
        *("PIL", "accelerate", "av", "cv2", "datasets", "decord", "filelock", "huggingface_hub", "jsonlines", "numpy"),
        *("pandas", "psutil", "pyarrow", "rich", "safetensors", "scipy", "torch", "transformers"),
    )
)
"""Packages of others that are imported. A file of the user may hide one of them, as it may a standard module."""
_REMEDY = "Rename it, or work in another folder."


class Shadowed(ImportError):
    """An import that cannot work, because something else has the module's name. It shows as one line."""

    def _render_traceback_(self) -> list[str]:
        """Returns what IPython shows in place of a traceback."""
        return [f"error: {self}"]


class SiblingFinder:
    """Finds the packages of llave-bench in their own folder, before the path is searched."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Finds one of `NAMES`; None for other modules."""
        return PathFinder.find_spec(fullname, [HOME], target) if path is None and fullname in NAMES else None


def keep_together() -> None:
    """Makes every later import of a package of llave-bench find the one in `HOME`.

    Raises: Shadowed if another module was imported under one of the names before.
    """
    for name in NAMES:
        module = sys.modules.get(name)
        if module is None:
            continue
        folders = [os.path.realpath(place) for place in getattr(module, "__path__", ())]
        if HOME not in map(os.path.dirname, folders):
            where = getattr(module, "__file__", None) or next(iter(folders), "another module")
            raise shadowed(f"{where} was imported as {name!r}, which is the name of a package of llave-bench.")
    if not any(type(finder).__name__ == SiblingFinder.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, SiblingFinder())


def look_in_folder_last() -> None:
    """Moves the working folder, which `python -m llave` puts first on the path, to its end.

    So no file in it hides a module of Python or an installed package.
    """
    if sys.argv[:1] == ["-m"] and not sys.flags.safe_path and sys.path and _is_here(sys.path[0]):
        sys.path.append(sys.path.pop(0))


def _is_here(folder: str) -> bool:
    try:
        return os.path.samefile(folder or ".", ".")
    except OSError:
        return False


def hidden_modules() -> list[str]:
    """Sentences about files at the front of the path that hide a module of Python or an installed package."""
    first = os.path.realpath(sys.path[0] if sys.path else "")
    if first == HOME or "site-packages" in first or not os.path.isdir(first):
        return []
    found = []
    for name in sorted((_NEEDED | sys.stdlib_module_names) - set(sys.builtin_module_names)):
        for file in (os.path.join(first, f"{name}.py"), os.path.join(first, name, "__init__.py")):
            loaded = getattr(sys.modules.get(name), "__file__", None)
            if os.path.isfile(file) and (loaded is None or os.path.realpath(loaded) == file):
                what = "the installed package" if name in _NEEDED else "Python's own module"
                found.append(f"{file} hides {what} {name!r}.")
    return found


def warn_of_hidden_modules() -> None:
    """Warns in one line if `hidden_modules` finds any."""
    if found := hidden_modules():
        import warnings

        warnings.warn_explicit(f"{' '.join(found)} {_REMEDY}", UserWarning, "llave-bench", 1)


def shadowed(what: str) -> Shadowed:
    """Returns the error for a hidden module, and makes Python print it as one line."""
    usual = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, Shadowed):
            sys.stderr.write(f"error: {error}\n")
        else:
            usual(kind, error, trace)

    sys.excepthook = show
    return Shadowed(f"{what} {_REMEDY}")


keep_together()
