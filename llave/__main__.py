"""`python -m llave` and the script `llave`: the command line, in a process of its own."""

from __future__ import annotations

import sys
from typing import NoReturn

from harness.errors import UserError
from llave.cli.flags import DONE, FAILED, complain
from llave.cli.main import main
from llave.process import STOPPED, end_stopped, lost_output


def start() -> NoReturn:
    """Runs the command, and ends the process with its status."""
    try:
        status = main()
    except KeyboardInterrupt:  # at the very end of the work
        status = STOPPED
    except SystemExit as left:  # argparse
        status = left.code if isinstance(left.code, int) else DONE
    why = lost_output()
    if status == STOPPED:
        end_stopped()
    if why:
        hint = "What the command wrote to files is kept."
        complain(UserError(f"Standard output could not be written: {why.strerror}.", hint))
        status = FAILED if status == DONE else status
    sys.exit(status)


if __name__ == "__main__":
    start()
