"""The command `llave push`."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.errors import RunFailed, UserError, counted
from llave.cli.flags import DONE, console, say

ABOUT = "offer results to a model's repository on the hub, as a pull request"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave push`."""
    add = parser.add_argument
    add("results", nargs="+", type=Path, metavar="RESULTS", help="results of one model, or folders of them")
    add("--repo", required=True, metavar="ORG/NAME", help="repository of the model on the hub")
    add("--open", action="store_true", help="open the pull request (default: show what it would hold)")
    add("--model", metavar="NAME", help="name of the model in the results (default: the only one)")
    add("--protocol", choices=("official", "strict"), help="protocol of the scores (default: that of the results)")
    add(
        "--meta",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="add dataset_id, source_url, source_name, source_user or source_org; may be repeated (default: none)",
    )


def run(options: argparse.Namespace) -> int:
    """Shows the file, or opens a pull request with it. Returns the exit status."""
    from leaderboards.exchange.eval_results import FOLDER, eval_results
    from leaderboards.load import load, was_renamed
    from llave.cli.share.export import check_one

    loaded = load(options.results)
    for warning in loaded.warnings:
        say(console(stderr=True), f"warning: {warning}")
    records = [each for each in loaded.records if not was_renamed(each.path)]
    records = [each for each in records if options.model in (None, each.result.model["name"])]
    models = sorted({str(each.result.model["name"]) for each in records})
    if len(models) != 1:
        raise UserError(f"These are results of {', '.join(models) or 'no such model'}.", "Choose one with --model.")
    check_one(models[0], records)
    text = eval_results(records, options.protocol, options.meta)
    name = f"{FOLDER}/llave-bench.yaml"
    if not options.open:
        print(text, end="")
        say(console(stderr=True), f"Nothing was sent. --open offers this to {options.repo} as {name}.")
        return DONE
    address = _offer(options.repo, name, text, f"Add {counted(len(records), 'evaluation result')} of llave-bench")
    say(console(), f"Pull request: {address}")
    return DONE


def _offer(repo: str, name: str, text: str, title: str) -> str:
    """Opens a pull request that adds or replaces one file. Returns its address.

    Raises: RunFailed if the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi, errors

    try:
        made = HfApi().upload_file(
            path_or_fileobj=text.encode(), path_in_repo=name, repo_id=repo, commit_message=title, create_pr=True
        )
    except errors.HFValidationError as error:
        raise UserError(f"{repo!r} is no name of a repository: {error}.", "Write ORG/NAME.") from None
    except (errors.HTTPError, errors.OfflineModeIsEnabled, OSError) as error:
        why = " ".join(str(error).split())
        hint = "Check the name. Log in with a token that may write: hf auth login. HF_ENDPOINT names another hub."
        raise RunFailed(f"The hub did not take the pull request to {repo}: {why}.", hint) from None
    return str(made.pr_url or made)
