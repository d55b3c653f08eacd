"""Thumbnails of images and videos as data URLs."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from harness.errors import BadMedia
from harness.media.images import open_image
from harness.media.video import spread_frames
from harness.types import Media

_SIDE, _QUALITY = 176, 60
_FRAMES = 4
_VIDEO = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}


def thumbnails(name: str, root: Path) -> list[str]:
    """Data URLs of an image, or of four frames of a video. Empty if the file is missing or cannot be opened."""
    try:
        if Path(name).suffix.lower() in _VIDEO:
            return [_address(frame) for frame in spread_frames(Media("video", name, root), _FRAMES)]
        return [_address(open_image(Media("image", name, root)))]
    except BadMedia:
        return []


def _address(image: Image.Image) -> str:
    image.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    image.save(file, "WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
