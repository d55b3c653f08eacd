"""The video and document parts of MMEB v2 (arXiv 2507.04590), of which only published scores are known.

Groups have the names of `PublishedRow.means`.
"""

from __future__ import annotations

from collections.abc import Mapping

from tasks.suites import Suite, find_suite

_Groups = Mapping[str, tuple[str, ...]]

VIDEO: _Groups = {
    "video-classification": ("K700", "SmthSmthV2", "HMDB51", "UCF101", "Breakfast"),
    "video-qa": ("MVBench", "Video-MME", "NExTQA", "EgoSchema", "ActivityNetQA"),
    "video-retrieval": ("DiDeMo", "MSR-VTT", "MSVD", "VATEX", "YouCook2"),
    "video-moment-retrieval": ("QVHighlight", "Charades-STA", "MomentSeeker"),
}

_SYNTHETIC = ("artificial_intelligence", "energy", "government_reports", "healthcare_industry")
_VIDORE = ("arxivqa", "docvqa", "infovqa", "tabfquad", "tatdqa", "shiftproject")
_MULTILINGUAL = ("biomedical_lectures", "economics_reports", "esg_reports")
_VISRAG = ("ArxivQA", "ChartQA", "MP-DocVQA", "SlideVQA", "InfoVQA", "PlotQA")

VISDOC: _Groups = {
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


def names(groups: _Groups) -> tuple[str, ...]:
    """All datasets of a part."""
    return tuple(name for group in groups.values() for name in group)


def part_suites() -> tuple[Suite, ...]:
    """The suites `video`, `visdoc` and `mmeb-v2`. The last has MMEB as its group `overall`, and both other parts."""
    image, video, visdoc = find_suite("mmeb").tasks, names(VIDEO), names(VISDOC)
    return (
        Suite("video", "MMEB v2, video", video, tuple(VIDEO.items())),
        Suite("visdoc", "MMEB v2, documents", visdoc, tuple(VISDOC.items())),
        Suite(
            "mmeb-v2",
            "MMEB v2",
            (*image, *video, *visdoc),
            (("overall", image), ("video", video), ("visdoc", visdoc)),
        ),
    )
