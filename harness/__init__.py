"""llave-bench: how good is this multimodal embedding model, and is it better than that one?

`harness` is the engine that measures embedders. `tasks` holds the datasets, `leaderboards` compares results, and
`trainers` trains checkpoints. `llave` is the Python API and the command line.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from harness.errors import UserError

_SIBLINGS = ("tasks", "leaderboards", "trainers", "llave")


def _check_siblings() -> None:
    """Checks that no other folder shadows one of our packages. Raises: UserError that names the folder."""
    home = Path(__file__).resolve().parent.parent
    for name in _SIBLINGS:
        spec = find_spec(name)
        places = [Path(place).resolve().parent for place in (spec.submodule_search_locations or ())] if spec else []
        if home not in places:
            found = spec.origin or ", ".join(map(str, places)) if spec else "nothing"
            raise UserError(
                f"The package {name!r} of llave-bench at {home} is shadowed: Python finds {found} instead.",
                f"Run from another folder, or remove the folder that holds the other {name!r} from PYTHONPATH.",
            )


_check_siblings()
