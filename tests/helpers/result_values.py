"""Results without a run, for tests."""

from __future__ import annotations

from dataclasses import replace

from harness.results.result import FORMAT, Result
from harness.scoring.metrics import Score


def result(
    task: str = "Task", model: str = "m", value: float = 0.5, public: float | None = None, **changes: object
) -> Result:
    """A record of one metric, `hit@1`; `changes` are fields, or `revision` and `fingerprint` of the model."""
    revision, fingerprint = str(changes.pop("revision", "1")), str(changes.pop("fingerprint", "f" * 64))
    strict = {"hit@1": Score(value, value / 2, (1 + value) / 2)}
    official = {"hit@1": Score(value if public is None else public, 0.0, 1.0)}
    protocol = changes.pop("protocol", "strict")
    made = Result(
        format=FORMAT,
        status="done",
        identity=f"{task}/{model}/{revision}/{fingerprint}",
        task=task,
        meta_task=None,
        split=None,
        scope="local",
        main_metric="hit@1",
        model={"name": model, "revision": revision, "fingerprint": fingerprint, "not_seen": []},
        protocol=str(protocol),
        metrics=strict if protocol == "strict" else official,
        strict=strict,
        official=official,
        chance={"hit@1": 0.25},
        tied_queries=0,
        num_queries=1234,
        num_targets=3,
        dataset={"source": "folder", "revision": "local", "digest": "d" * 64, "notes": {}},
        settings={"limit": None},
        bad_media=[],
        environment={},
        cost={"seconds": 1.0},
        created="2026-01-01T00:00:00+00:00",
    )
    return replace(made, **changes)
