"""Printed means of MMEB v2 (arXiv 2507.04590): which tasks each of them covers.

Groups have the names of `PublishedRow.means`.
"""

from __future__ import annotations

from tasks.mmeb_v2.parts import VIDEO, VISDOC, names
from tasks.suites import Suite, find_suite


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
