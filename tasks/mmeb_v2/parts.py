"""The parts of MMEB-V2 and their tasks, in the order of the public board.

The five retrieval tasks have `-v2` at the end of their names. LLaVE measures two of these datasets in another way. All
other tasks are named as on the board. `board_name` gives the names on the board.
"""

from __future__ import annotations

from collections.abc import Mapping

Parts = Mapping[str, tuple[str, ...]]
"""Names of tasks by part."""

VIDEO: Parts = {
    "video-classification": ("K700", "SmthSmthV2", "HMDB51", "UCF101", "Breakfast"),
    "video-qa": ("MVBench", "Video-MME", "NExTQA", "EgoSchema", "ActivityNetQA"),
    "video-retrieval": ("DiDeMo-v2", "MSR-VTT-v2", "MSVD-v2", "VATEX-v2", "YouCook2-v2"),
    "video-moment-retrieval": ("QVHighlight", "Charades-STA", "MomentSeeker"),
}

_VIDORE = ("arxivqa", "docvqa", "infovqa", "tabfquad", "tatdqa", "shiftproject")
_SYNTHETIC = ("artificial_intelligence", "energy", "government_reports", "healthcare_industry")
_MULTILINGUAL = ("biomedical_lectures", "economics_reports", "esg_reports")
_VISRAG = ("ArxivQA", "ChartQA", "MP-DocVQA", "SlideVQA", "InfoVQA", "PlotQA")

VISDOC: Parts = {
    "visdoc-vidore-v1": (
        *(f"ViDoRe_{name}" for name in _VIDORE),
        *(f"ViDoRe_syntheticDocQA_{name}" for name in _SYNTHETIC),
    ),
    "visdoc-vidore-v2": (
        "ViDoRe_esg_reports_human_labeled_v2",
        *(f"ViDoRe_{name}_v2_multilingual" for name in _MULTILINGUAL),
    ),
    "visdoc-visrag": tuple(f"VisRAG_{name}" for name in _VISRAG),
    "visdoc-ood": ("ViDoSeek-page-fixed", "ViDoSeek-doc", "MMLongBench-page-fixed", "MMLongBench-doc"),
}


def names(parts: Parts) -> tuple[str, ...]:
    """All tasks of some parts."""
    return tuple(name for part in parts.values() for name in part)


def board_name(task: str) -> str:
    """The name of a task on the public board."""
    return task.removesuffix("-v2") if task in VIDEO["video-retrieval"] else task


def task_name(board: str) -> str:
    """The task with a name of the public board. Other names stay as they are."""
    return _TASKS.get(board, board)


_TASKS: Mapping[str, str] = {board_name(task): task for task in names(VIDEO)}
