"""`llave models`."""

from __future__ import annotations

import argparse
import json

from llave.cli.flags import DONE, console

ABOUT = "list models, and how far each is verified"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """`llave models`."""
    from harness.models import ROWS, installed_rows
    from llave.cli.listings import model_fields, model_list

    rows = [*ROWS, *installed_rows()]
    if options.json:
        print(json.dumps([model_fields(row) for row in rows], indent=2, ensure_ascii=False))
    else:
        console().print(model_list(rows))
    return DONE
