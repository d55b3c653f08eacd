"""tokenizer.json as it stands, whatever class a version of transformers would choose for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.models.llave.config import JsonFile

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def read_tokenizer_json(folder: Path) -> Tokenizer:
    """The tokenizer of a folder, which neither cuts nor pads. Raises UserError for a file that holds none."""
    from tokenizers import Tokenizer

    file = JsonFile.read(folder / "tokenizer.json")
    try:
        tokenizer = Tokenizer.from_str(json.dumps(file.fields))
    except Exception as error:
        if type(error) is not Exception:  # which is what the library raises, nothing narrower
            raise
        what = f"{file.path} holds no tokenizer: {error}."
        raise UserError(what, "Copy or download the checkpoint again.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
