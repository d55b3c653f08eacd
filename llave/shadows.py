"""Makes sure, before anything else is imported, that no file of the user stands in for a package of llave-bench.

Like `harness/__init__.py`, it imports only what Python itself has loaded at its start.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def _siblings() -> ModuleType:
    """Loads `harness/__init__.py` by its path, since another `harness` may come first on Python's path."""
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    name = "_llave_bench"
    loader = SourceFileLoader(name, os.path.join(home, "harness", "__init__.py"))
    module = type(sys)(name)
    module.__file__ = loader.path
    loader.exec_module(module)
    return module


class OwnImports:
    """A context for the first imports. Where a hidden module makes them fail, one line says so."""

    def __enter__(self) -> None:
        self._siblings = _siblings()
        self._siblings.look_in_folder_last()
        self._hidden = self._siblings.hidden_modules()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and self._hidden:
            raise self._siblings.shadowed(" ".join(self._hidden)) from None
        self._siblings.warn_of_hidden_modules()
