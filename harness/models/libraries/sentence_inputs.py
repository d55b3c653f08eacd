"""Items as sentence-transformers takes them: texts, pictures and videos, alone, in pairs or in messages of a chat."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

from harness.errors import BadMedia
from harness.media.containers import check_video
from harness.media.frame_policy import FramePolicy
from harness.media.images import open_image
from harness.media.unchanged import unchanged
from harness.media.video import map_frames
from harness.models.common import plain_text
from harness.settings import ReadAs
from harness.types import MEDIA_TOKEN, Features, Item, Media, ModelSpec, Role

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer

PIXELS_PER_TOKEN = 28 * 28
MIN_IMAGE_COST = 256
VIDEO_COST = 4096
"""Cost of a video in tokens, of which the library chooses the frames."""
LIBRARY = "library"

Clip: TypeAlias = "str | Mapping[str, object]"
"""The path of a video, or its frames and what the library calls `video_metadata`."""
Message: TypeAlias = "Mapping[str, str | Sequence[Mapping[str, str | Image | Clip]]]"
Part: TypeAlias = "str | Mapping[str, str | Image | Clip | Sequence[Image | Clip]] | Sequence[Message]"
"""One input of the library.

A model that takes images gets its texts in a mapping. The library would fetch a plain string that is an address.
"""


def _frames(text: str) -> str:
    return text if text == LIBRARY else str(FramePolicy.parse(text))


@dataclass(frozen=True, slots=True)
class SentenceOptions:
    """Options that a user can set for a model that takes videos. They are part of its identity."""

    frames: Annotated[str, ReadAs(_frames)] = LIBRARY
    """The frames of a video that the model sees: `library` gives it the file, and its processor chooses. A rule such as
    `uniform:8` has them decoded here, and the processor takes them as they are."""


class CallKey(NamedTuple):
    """What the inputs of one call of the library have in common. It must not mix kinds."""

    role: Role
    kind: str


@dataclass(frozen=True, slots=True)
class SentenceInput:
    """A prepared item: one input, or several if the model cannot take its parts together."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def keyed(self) -> list[tuple[CallKey, Part]]:
        """Each input with the key of its call."""
        return [(CallKey(self.role, _kind(part)), part) for part in self.parts]


@dataclass(frozen=True, slots=True)
class ShownMedium:
    """A medium as the library takes it, and its cost in tokens."""

    kind: str
    content: Image | Clip
    cost: int


class SentenceInputs:
    """Prepares items for a model of the library. Several threads may use it."""

    def __init__(self, spec: ModelSpec, model: SentenceTransformer | MultiVectorEncoder) -> None:
        self._spec = spec
        self._model = model
        self._count = token_counter(model)
        prompts = model.prompts
        documents = next((prompts[each] for each in ("document", "passage", "corpus") if each in prompts), "")
        self.prompts: Mapping[Role, str] = {"query": prompts.get("query") or "", "target": documents or ""}

    def prepare(self, item: Item, role: Role) -> Features[SentenceInput]:
        """Opens media and counts tokens. The cost is in tokens, media included. Raises BadMedia."""
        shown = [self._shown(medium) for medium in item.media]
        limit = text_limit(self._model, role)
        tokens = self._count(self.prompts[role] + plain_text(item.full_text))
        cost = sum(each.cost for each in shown) + min(tokens, limit)
        return Features(SentenceInput(role, self._parts(item.full_text, shown)), cost, truncated=tokens > limit)

    def arguments(self, key: CallKey) -> Mapping[str, Mapping[str, Mapping[str, bool]]]:
        """Arguments of a call: frames that were decoded here are not chosen from once more."""
        framed = "video" in key.kind and self._spec.options["frames"] != LIBRARY
        return {"processing_kwargs": {"video": {"do_sample_frames": False}}} if framed else {}

    def _shown(self, medium: Media) -> ShownMedium:
        if medium.kind == "image":
            image = open_image(medium)
            return ShownMedium("image", image, image_cost(image))
        frames = str(self._spec.options["frames"])
        return _clip_of_path(medium) if frames == LIBRARY else _clip_of_frames(medium, FramePolicy.parse(frames))

    def _parts(self, full_text: str, media: Sequence[ShownMedium]) -> tuple[Part, ...]:
        """One message with all media, if the model takes messages; else media and text, paired if possible."""
        text = plain_text(full_text)
        if not media:
            return ({"text": text},) if len(self._spec.modalities) > 1 else (text,)
        if "message" in self._model.modalities:
            framed = any(isinstance(each.content, Mapping) for each in media)
            return (_together(text, media) if framed else [_message(full_text, media)],)
        paired = [bool(text) and self._model.supports(_pair(each.kind)) for each in media]
        parts: list[Part] = [
            {each.kind: each.content, **({"text": text} if together else {})}
            for each, together in zip(media, paired, strict=True)
        ]
        return (*parts, *([{"text": text}] if text and not all(paired) else []))


def _kind(part: Part) -> str:
    if isinstance(part, Mapping):
        return " ".join(part)
    return "text" if isinstance(part, str) else "message"


def text_limit(model: SentenceTransformer | CrossEncoder | MultiVectorEncoder, role: Role) -> int:
    """Returns the largest number of tokens of a text in a role; late interaction may have one for each."""
    first = next(iter(model), None)
    of_role = getattr(first, "query_length" if role == "query" else "document_length", None)
    expansion = getattr(first, "query_expansion", None) if role == "query" else None
    if expansion is not None and expansion["strategy"] == "fixed":
        of_role = expansion["length"]
    return of_role or model.max_seq_length or 2**31


def image_cost(image: Image) -> int:
    """Returns the cost of an image in tokens, with which batches are filled.

    It is right for models that see all pixels. For models that shrink the image it bounds the memory of open images.
    """
    return max(MIN_IMAGE_COST, image.width * image.height // PIXELS_PER_TOKEN)


def token_counter(model: SentenceTransformer | CrossEncoder | MultiVectorEncoder) -> Callable[[str], int]:
    """Returns a function that counts the tokens of a text, also beyond the limit.

    If the tokenizer cannot be used from several threads, the count is estimated from bytes, up to the limit. The
    tokenizer is copied, because `encode` changes the original while `prepare` runs in several threads.
    """
    from tokenizers import Tokenizer

    limit = model.max_seq_length or 2**31
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", model.tokenizer)
    if not isinstance(tokenizer, Tokenizer):
        return lambda text: min(limit, len(text.encode("utf-8", "replace")) // 4 + 1)
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return lambda text: max(1, len(tokenizer.encode(text)))


def _clip_of_path(medium: Media) -> ShownMedium:
    """The file of a video, of which the library chooses the frames. Raises BadMedia for one that it could not read."""
    with unchanged(medium) as path:
        if path.is_dir():
            raise BadMedia(
                f"{medium.name} is a folder of frames, and the model's library reads video files.",
                "Choose frames here: --model-option frames=uniform:8.",
                medium,
            )
        check_video(path)
    return ShownMedium("video", str(path.absolute()), VIDEO_COST)


def _clip_of_frames(medium: Media, policy: FramePolicy) -> ShownMedium:
    """Frames that are decoded here, with their numbers and the rate, from which a processor makes times."""
    found: dict[str, object] = {}

    def choose(total: int, rate: float) -> Sequence[int]:
        numbers = policy.choose(total, rate)
        found.update(total_num_frames=total, fps=rate or None, frames_indices=numbers)
        found.update(duration=total / rate if rate else None)
        return numbers

    frames = map_frames(medium, choose, lambda frame: frame)
    return ShownMedium("video", {"array": frames, "video_metadata": found}, sum(map(image_cost, frames)))


def _pair(kind: str) -> tuple[str, ...]:
    """The name of a text with a medium, as the library spells it."""
    return tuple(sorted((kind, "text")))


def _together(text: str, media: Sequence[ShownMedium]) -> Part:
    """All media, kind by kind, and then the text: the form in which the library takes the numbers of frames."""
    of_kind: dict[str, list[Image | Clip]] = {}
    for each in media:
        of_kind.setdefault(each.kind, []).append(each.content)
    return {**of_kind, **({"text": text} if text else {})}


def _message(full_text: str, media: Sequence[ShownMedium]) -> Message:
    """A user's message, with media at their tokens. Without one token for each medium all come first."""
    texts = full_text.split(MEDIA_TOKEN)
    if len(texts) != len(media) + 1:
        texts = [*("" for _ in media), plain_text(full_text)]
    texts = [texts[0], *(text.removeprefix("\n") for text in texts[1:])]
    return {"role": "user", "content": list(_content(texts, media))}


def _content(texts: Sequence[str], media: Sequence[ShownMedium]) -> Iterator[Mapping[str, str | Image | Clip]]:
    for text, each in zip(texts, (*media, None), strict=True):
        if text:
            yield {"type": "text", "text": text}
        if each is not None:
            yield {"type": each.kind, each.kind: each.content}
