"""What a user may set of a server's model, and which of it belongs to the model's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Literal

from harness.errors import UserError, unknown_name
from harness.media.frame_policy import FramePolicy
from harness.models.common import FRAMES, TEXT
from harness.models.endpoints.address import Address
from harness.models.endpoints.dialects import DIALECTS, Dialect
from harness.settings import read_settings, whole
from harness.types import ModelSettings, Role, Scalar

_DIALECT = "dialect"
_NOT_OF_THE_MODEL = ("batch", "concurrency", "timeout", "modalities", "revision", "too_long")
"""Options that change no vector, or stand in the spec themselves. An item has the same vector or none by `too_long`."""


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """Options that a user can set, apart from the dialect and the name of the key."""

    revision: str = ""
    """What the user says of the weights, such as a commit."""
    modalities: tuple[str, ...] = ()
    """Kinds of input that are sent, of those that the dialect can carry; empty: all."""
    dimensions: Annotated[int, whole()] | None = None
    """Width that the server is asked for."""
    query: Annotated[str, TEXT] | None = None
    target: Annotated[str, TEXT] | None = None
    """What the dialect's own field says of each role."""
    query_prompt: str = ""
    target_prompt: str = ""
    """Text before an item, or in the system's turn."""
    instruction: Literal["text", "system"] = "text"
    """Where the prompt and an item's instruction go: before its text, or into the system's turn."""
    generation_prompt: bool = True
    """Whether a chat ends with the beginning of an answer, whose last token many models pool."""
    blank: Annotated[str, TEXT] | None = None
    """The text of an item that has none; None: such an item is refused."""
    frames: Annotated[str, FRAMES] | None = None
    """Frames of a video that are sent as images; None: videos are sent as files."""
    too_long: Literal["stop", "cut"] = "stop"
    """What happens to an item that the server finds too long."""
    batch: Annotated[int, whole()] | None = None
    """Number of items in a request; None: that of the dialect."""
    concurrency: Annotated[int, whole()] = 16
    """Largest number of requests that are under way at once."""
    timeout: Annotated[int, whole()] = 120
    """Seconds that one request may take."""


def dialect_of(address: Address, settings: ModelSettings) -> Dialect:
    """The dialect that the user names, or that of the vendor's host, else OpenAI's. Raises UserError."""
    named = settings.options.get(_DIALECT)
    if named is None:
        return next((each for each in DIALECTS.values() if each.host == address.host), DIALECTS["openai"])
    if named not in DIALECTS:
        raise unknown_name("dialect", named, list(DIALECTS), f"Choose from {', '.join(DIALECTS)}.")
    return DIALECTS[named]


def read_options(dialect: Dialect, settings: ModelSettings) -> EndpointOptions:
    """The options with the dialect's own values in place. Raises UserError for one that the dialect cannot honour."""
    given = {name: value for name, value in settings.options.items() if name not in (_DIALECT, "key")}
    options = read_settings(EndpointOptions(), given, f"option of a server ({dialect.name})")
    _check(dialect, options, given)
    carried = (*dialect.modalities, *(["video"] if options.frames and "image" in dialect.modalities else []))
    carried = tuple(dict.fromkeys(carried))
    unknown = [each for each in options.modalities if each not in carried]
    if unknown:
        raise UserError(f"{dialect.name} carries no {', '.join(unknown)}.", f"It carries {', '.join(carried)}.")
    sides: Mapping[Role, str] = dialect.sides or {"query": "", "target": ""}
    return replace(
        options,
        modalities=options.modalities or carried,
        query=sides["query"] if options.query is None else options.query,
        target=sides["target"] if options.target is None else options.target,
        batch=min(options.batch or dialect.items, dialect.most_items),
    )


def _check(dialect: Dialect, options: EndpointOptions, given: Mapping[str, str]) -> None:
    """Raises UserError for options that would be ignored."""
    cannot = {
        "query": dialect.sides is None,
        "target": dialect.sides is None,
        "instruction": options.instruction == "system" and not dialect.chats,
        "generation_prompt": not dialect.chats,
        "too_long": options.too_long == "cut" and not dialect.cuts,
        "frames": "image" not in dialect.modalities or dialect.files == 1,
    }
    for name, is_idle in cannot.items():
        if name in given and is_idle:
            what = f"The dialect {dialect.name} has no use for {name}={given[name]}."
            raise UserError(what, "Leave this option out, or name another dialect.")
    if (options.batch or 0) > dialect.most_items:
        what = f"{dialect.name} takes at most {dialect.most_items:,} items in a request, not {options.batch:,}."
        raise UserError(what, "Ask for fewer with --model-option batch=N.")
    if options.frames:
        most = FramePolicy.parse(options.frames).most
        if dialect.files and not 0 < most <= dialect.files:
            what = f"{dialect.name} takes at most {dialect.files} images in an item."
            raise UserError(what, f"Write --model-option frames=uniform:{dialect.files}")


def identity(dialect: Dialect, options: EndpointOptions) -> dict[str, Scalar]:
    """The options that can change a vector."""
    fields = {name: value for name, value in asdict(options).items() if name not in _NOT_OF_THE_MODEL}
    unused = () if dialect.chats else ("generation_prompt",)
    unused = unused if dialect.sides else (*unused, "query", "target")
    blank = {"blank": options.blank if options.blank is not None else dialect.blank or None}
    kept = {name: value for name, value in fields.items() if name not in unused}
    return {_DIALECT: dialect.name, **kept, **blank}
