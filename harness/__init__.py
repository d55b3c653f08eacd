"""llave-bench: how good is this multimodal embedding model, and is it better than that one?

`harness` is the engine; `tasks` is what is measured, `leaderboards` what results mean, `trainers` how a checkpoint is
made. The command is `llave`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from harness.errors import UserError

_SIBLINGS = ("tasks", "leaderboards", "trainers", "llave")


def _check_siblings() -> None:
    """Raises UserError if another folder of the same name shadows one of our packages."""
    home = Path(__file__).resolve().parent.parent
    for name in _SIBLINGS:
        spec = find_spec(name)
        places = [Path(place).resolve().parent for place in (spec.submodule_search_locations or ())] if spec else []
        if home not in places:
            found = spec.origin or ", ".join(map(str, places)) if spec else "nothing"
            raise UserError(
                f"The package {name!r} of llave-bench at {home} is shadowed: Python finds {found} instead.",
                f"Run from another folder, or take the folder that holds the other {name!r} off PYTHONPATH.",
            )


_check_siblings()
