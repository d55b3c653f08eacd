"""llave-bench in Python: evaluate multimodal embedding models, compare them, embed, train.

Importing this is quick: torch, pandas and the rest are loaded by the function that needs them.

    import llave

    result = llave.evaluate("classical", tasks="demo")
    result.frame(); result["demo-object"].queries(); result.plot()

docs/api.md has a section on each function.
"""

from __future__ import annotations

from llave.shadows import OwnImports

with OwnImports():
    from llave import process

    if process.is_command():
        process.begin()
    from harness.errors import UserError
    from harness.types import Features, Item, Media, ModelHandle, ModelSpec, Role, Task
    from llave.api.boards import Leaderboard, ModelComparison, board, compare
    from llave.api.doctor import DoctorReport, doctor
    from llave.api.embed import embed
    from llave.api.evaluate import evaluate
    from llave.api.listings import Listing, models, tasks
    from llave.api.results import EvalResults, TaskResult
    from llave.api.rows import task
    from llave.api.train import train

__all__ = [
    "DoctorReport",
    "EvalResults",
    "Features",
    "Item",
    "Leaderboard",
    "Listing",
    "Media",
    "ModelComparison",
    "ModelHandle",
    "ModelSpec",
    "Role",
    "Task",
    "TaskResult",
    "UserError",
    "board",
    "compare",
    "doctor",
    "embed",
    "evaluate",
    "models",
    "task",
    "tasks",
    "train",
]
