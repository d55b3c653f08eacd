"""The command `llave serve`."""

from __future__ import annotations

import argparse
import shlex
import sys

from llave.cli.board import add_choice_flags, add_images_flag, chosen_board, places_of
from llave.cli.flags import DONE, Number, console, is_verbose, say

ABOUT = "show the page of results in a browser, and keep it up to date while they grow"
HOST, PORT = "127.0.0.1", 8765


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave serve`."""
    add_choice_flags(parser)
    add_images_flag(parser)
    add = parser.add_argument_group("server").add_argument
    add("--port", type=Number(0, 65_535), default=PORT, metavar="N", help="port; 0 for any that is free")
    add("--host", default=HOST, metavar="ADDRESS", help="address to listen at; others than this machine may then read")


def run(options: argparse.Namespace) -> int:
    """Serves the page until it is interrupted."""
    from leaderboards.load import RecordMemory
    from leaderboards.page.analyses import analyses_of
    from leaderboards.page.live import LivePage, Shelf
    from leaderboards.page.server import PageServer
    from leaderboards.pictures import Pictures

    places = places_of(options)
    notes, memory = console(stderr=True), RecordMemory()

    def make() -> Shelf:
        board, warnings = chosen_board(options, read=memory)
        analyses, more = analyses_of(board, places)
        return Shelf(board, analyses, [*warnings, *more])

    def warn(text: str) -> None:
        say(notes, f"warning: {text}")

    def log(text: str) -> None:
        if is_verbose():
            say(notes, text)

    pictures = Pictures.of(options.images)
    live = LivePage(places, make, pictures, warn, shlex.join(["llave", *sys.argv[1:]]))
    live.start()
    with PageServer(live, options.host, options.port, log) as server:
        say(console(), f"Page: {server.address} (Ctrl-C ends it)")
        sys.stdout.flush()
        server.serve_forever()
    return DONE
