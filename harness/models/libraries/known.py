"""Models of 2025 and 2026 that a library loads: a short name, and what is known of each.

How they are run is the library's matter. The facts are those of the list of mteb 2.26.24. Models of which no library is
known to have the recipe have no row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from harness.models.libraries import mteb, sentence_transformers
from harness.models.libraries.mteb_list import PREFIX as MTEB
from harness.models.libraries.sentence_files import PREFIX as SENTENCE_TRANSFORMERS
from harness.types import ModelHandle, ModelRow, ModelSettings, SeveralMedia

_OPENERS: dict[str, Callable[[str, ModelSettings], ModelHandle]] = {
    SENTENCE_TRANSFORMERS: sentence_transformers.ROWS[0].open,
    MTEB: mteb.ROWS[0].open,
}
_VERIFIED = "documented: its library's own way, which is tested on other models; its weights were not run"
_SEEN = ("text", "image")
_MOVING = (*_SEEN, "video")


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A checkpoint on the hub, the library that loads it, and its facts."""

    hub: str
    facts: str
    modalities: tuple[str, ...] = _SEEN
    through: str = SENTENCE_TRANSFORMERS
    """The prefix of the row that opens it."""
    several_media: tuple[SeveralMedia, ...] = ("interleaved", "mean")
    """What the way of the library can be; its files decide."""

    @property
    def name(self) -> str:
        """The short name."""
        return self.hub.partition("/")[2].lower()

    def open(self, name: str, settings: ModelSettings) -> ModelHandle:
        """Opens `NAME` or `NAME@COMMIT`. Raises: UserError as the library's row does."""
        _, at, commit = name.partition("@")
        return _OPENERS[self.through](f"{self.through}{self.hub}{at}{commit}", settings)


_by_mteb = partial(KnownModel, modalities=_MOVING, through=MTEB, several_media=("mean",))
_late = partial(KnownModel, several_media=("united",))

_WEMM = "Apache-2.0; mteb restores a rule of its tokenizer that transformers 5.18 and later drop; brings its own code"

KNOWN: tuple[KnownModel, ...] = (
    _by_mteb("tencent/WeMM-Embedding-2B", f"2.21 B parameters, width 2048 or from 64; {_WEMM}"),
    _by_mteb("tencent/WeMM-Embedding-4B", f"4.25 B parameters, width 2560 or from 64; {_WEMM}"),
    _by_mteb("tencent/WeMM-Embedding-9B", f"9 B parameters, width 4096 or from 64; {_WEMM}"),
    KnownModel("google/embeddinggemma-2", "271,002,624 parameters, width 768 or from 128; Gemma terms", _MOVING),
    KnownModel("nvidia/Nemotron-3.5-Embed-1B-BF16", "1,554,710,528 parameters, width 2048; OpenMDW-1.1"),
    KnownModel("nvidia/Nemotron-3.5-Embed-8B-BF16", "8,381,155,328 parameters, width 4096; OpenMDW-1.1"),
    _by_mteb(
        "jinaai/jina-embeddings-v4",
        "3,934,695,552 parameters, width 2048; CC BY-NC 4.0, or the Qwen Research License by its page; brings its own "
        "code",
        modalities=_SEEN,
    ),
    _by_mteb(
        "jinaai/jina-embeddings-v5-omni-nano",
        "985,984,512 parameters, width 768 or from 32; CC BY-NC 4.0; brings its own code",
    ),
    _by_mteb(
        "jinaai/jina-embeddings-v5-omni-small",
        "1,626,268,672 parameters, width 1024 or from 32; CC BY-NC 4.0; brings its own code",
    ),
    _by_mteb("qihoo360/RzenEmbed", "8,291,375,616 parameters, width 3584; MIT"),
    _by_mteb("TianchengGu/UniME-V2-LLaVA-OneVision-8B", "8,030,807,584 parameters, width 3584; Apache-2.0"),
    _by_mteb("zhibinlan/UME-R1-2B", "2,208,985,600 parameters, width 1536; Apache-2.0"),
    _by_mteb("zhibinlan/UME-R1-7B", "8,291,375,616 parameters, width 3584; Apache-2.0"),
    _late("vidore/colpali-v1.3-hf", "late interaction, width 128: vidore/colpali-v1.3 in the form of transformers"),
    _late("vidore/colqwen2-v1.0-hf", "late interaction, width 128: vidore/colqwen2-v1.0 in the form of transformers"),
)

ROWS = tuple(
    ModelRow(
        each.name,
        f"{each.hub}: {each.facts}",
        each.modalities,
        each.open,
        _VERIFIED,
        hub=each.hub,
        several_media=each.several_media,
    )
    for each in KNOWN
)
