"""Whether the parts of a checkpoint fit together: tokenizer, image processor and network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from harness.errors import UserError
from harness.files.reading import named_reason
from harness.models.checkpoint_files import is_of_library, opening
from harness.types import MEDIA_TOKEN, Embedder, Item, Media

T = TypeVar("T")

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from tokenizers import Tokenizer
    from torch import Tensor
    from transformers import BaseImageProcessor, PreTrainedConfig, PreTrainedModel

_ONE_CHECKPOINT = "Take both files from the same checkpoint."
_SIZES = ((60, 40), (40, 60))
"""Width and height of the blank images: a processor that crops nothing makes different shapes of them."""


def check_ids(tokenizer: Tokenizer, rows: int, path: Path, config: Path) -> None:
    """Raises UserError if a tokenizer knows an id that has no embedding.

    Args:
        tokenizer: the tokenizer.
        rows: the number of embeddings.
        path: the tokenizer's file.
        config: the file that describes the network.
    """
    most = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if most >= rows:
        raise UserError(
            f"{path} has ids up to {most:,}; the network of {config} has embeddings for {rows:,} ids, from 0 to "
            f"{rows - 1:,}.",
            "Take tokenizer and weights from the same checkpoint.",
        )


def embedding_rows(network: PreTrainedModel) -> int | None:
    """Returns how many token ids a network has embeddings for; None if it does not say."""
    try:
        rows = network.get_input_embeddings().num_embeddings
    except (NotImplementedError, AttributeError):  # of networks with several towers
        rows = getattr(network.config.get_text_config(), "vocab_size", None)
    return rows if isinstance(rows, int) else None


def check_settings(
    same: Mapping[str, str], processor: BaseImageProcessor, config: PreTrainedConfig, path: Path, config_path: Path
) -> None:
    """Raises UserError unless an image processor has the settings that the network expects.

    Args:
        same: names of settings in the network's configuration, such as `vision_config.patch_size`, by the names of
            the same settings in the image processor.
        processor: the image processor.
        config: the network's configuration.
        path: the file of the image processor.
        config_path: the file of the configuration.
    """
    for name, expected in same.items():
        had, due = getattr(processor, name, None), attrgetter(expected)(config)
        if _plain(had) != _plain(due):
            what = f"{path} has {name} = {_plain(had)}; {config_path} has {expected} = {_plain(due)}."
            raise UserError(what, _ONE_CHECKPOINT)


def check_pixels(process: Callable[[Picture], Tensor], due: Sequence[int], path: Path, config_path: Path) -> None:
    """Raises UserError unless an image processor makes pixels of the shape that the network takes.

    Args:
        process: the pixels of an image, whose last axes count.
        due: the lengths of these axes.
        path: the file of the image processor.
        config_path: the file of the network's configuration.
    """
    from PIL import Image

    for size in _SIZES:
        with opening(path, "the settings of an image processor"):
            had = list(process(Image.new("RGB", size)).shape)
        if had[-len(due) :] != list(due):
            raise UserError(
                f"{path} makes pixels of the shape {_times(had[-len(due) :])} from an image of {_times(size)}; "
                f"the network of {config_path} takes {_times(due)}.",
                _ONE_CHECKPOINT,
            )


def square_pixels(vision: PreTrainedConfig) -> tuple[int, ...]:
    """Returns channels, height and width of the images that a vision tower takes."""
    edges = vision.image_size
    return (getattr(vision, "num_channels", 3), *(edges if isinstance(edges, list | tuple) else (edges, edges)))


def try_out(embedder: Embedder[T], folder: Path) -> None:
    """Embeds a short text and a blank image, so that parts that do not fit are found before a run.

    Raises: UserError that names the files in which the fault can be.
    """
    from PIL import Image

    with TemporaryDirectory() as place:
        Image.new("RGB", _SIZES[0], "gray").save(Path(place) / "blank.png")
        media = [Media("image", "blank.png", Path(place))] if "image" in embedder.spec.modalities else []
        items = [Item("a b")] + [Item(f"{MEDIA_TOKEN}\na", (each,)) for each in media]
        for item in items:
            try:
                embedder.embed([embedder.prepare(item, "query")])
            except BaseException as error:
                if not is_of_library(error):
                    raise
                what = "a blank image" if item.media else "a short text"
                why = error.what if isinstance(error, UserError) else named_reason(error)
                raise UserError(
                    f"The files of {folder} do not fit together, so {what} cannot be embedded: {why.rstrip('.')}.",
                    f"Compare {', '.join(_settings(folder))} with where the weights came from. {_ONE_CHECKPOINT}",
                ) from error


def _settings(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.glob("*.json"))


def _plain(value: object) -> object:
    """A setting with lists in place of tuples, to be compared and shown."""
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
