"""A whole run in a TOML file: its keys are the flags of `llave run` without dashes, and `models`.

An entry of `models` is a name, or a table with `name` and flags that hold for this model alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from harness.errors import UserError, unknown_name
from harness.files.reading import read_text, read_toml
from llave.cli.flags import model_settings
from llave.cli.front import toml
from llave.cli.front.parser import CommandParser, positionals, takes_several, takes_value
from llave.cli.front.toml import Value

if TYPE_CHECKING:
    from harness.types import ModelHandle, ModelSettings

FLAG = "--config"
_OPTIONS = "model-option"
_NOT_OF_A_RUN = frozenset({"config", "dry-run", "json", "quiet", "verbose", "help"})
_OF_A_MODEL = ("device", "dtype", _OPTIONS, "trust-remote-code")
"""Flags that a model can have of its own."""


def expand(parser: CommandParser, given: Sequence[str]) -> list[str]:
    """The arguments, after those of the file that `--config` names. What is given as an argument wins.

    Raises:
        UserError: for a file that cannot be read, and for a key that is no flag.
    """
    set_here = frozenset(_set_in(parser, given))
    parser.set_defaults(set_here=set_here)
    path = _named(given)
    if path is None:
        return list(given)
    fields, known = _read(path), _keys(parser)
    words: list[str] = []
    for key, value in fields.items():
        if key not in known and key != "models":
            raise unknown_name(f"key of {path}", key, ("models", *known), f"Keys: models, {', '.join(known)}.")
        if key in known and key not in set_here:
            words += [word for word in _words(path, key, value, known[key]) if _option(word) not in set_here]
    models = [] if positionals(parser, given) else [_name(path, each) for each in _models(path, fields)]
    return [*models, *words, *given]


def settings_by_model(options: argparse.Namespace) -> dict[str, ModelSettings]:
    """The settings of each model, once, with those that a file has for it alone.

    Raises:
        UserError: for an option that is not KEY=VALUE, and for a key of a model that is none.
    """
    usual, own = model_settings(options), _own_flags(options.config)
    return {name: _with(usual, own.get(name, {}), options.set_here) for name in dict.fromkeys(options.models)}


def write(options: argparse.Namespace, handles: Mapping[str, ModelHandle]) -> None:
    """Writes the run beside its results, unless a file there holds the same. Raises UserError."""
    from harness.files.writing import write_atomic

    text = toml.dumps(_fields(options, handles))
    before = options.out.glob("run-*.toml")
    if any(_holds(path, text) for path in before):
        return
    now = datetime.now(UTC)
    head = f"# `llave run {FLAG} FILE` repeats this run. Written {now:%Y-%m-%d %H:%M:%S} UTC."
    write_atomic(options.out / f"run-{now:%Y%m%dT%H%M%S.%f}Z.toml", f"{head}\n\n{text}")


def _holds(path: Path, text: str) -> bool:
    """Whether a file that a run wrote holds a text after its head. What cannot be read holds another."""
    try:
        return read_text(path).partition("\n\n")[2] == text
    except UserError:
        return False


def _fields(options: argparse.Namespace, handles: Mapping[str, ModelHandle]) -> dict[str, Value]:
    """The models at their commits, and all flags that have a value, by their names in a file."""
    parser: CommandParser = options.whole.commands[options.command]
    own = _own_flags(options.config)
    fields: dict[str, Value] = {
        "models": [_entry(name, handle.spec.revision, own.get(name, {})) for name, handle in handles.items()]
    }
    for key, action in _keys(parser).items():
        value = getattr(options, action.dest)
        if key == _OPTIONS:
            value = dict(each.partition("=")[::2] for each in value)
        if value is not None and value is not False and value not in ([], {}):
            fields[key] = str(value) if isinstance(value, Path) else value
    return fields


def _entry(name: str, revision: str, own: Mapping[str, Value]) -> Value:
    from harness.models import pinned_name

    pinned = pinned_name(name, revision)
    return {"name": pinned, **own} if own else pinned


def _with(usual: ModelSettings, own: Mapping[str, Value], set_here: frozenset[str]) -> ModelSettings:
    """The settings with those of one model, except where an argument sets the same."""
    table = own.get(_OPTIONS, {})
    added = {key: _text(value) for key, value in table.items()} if isinstance(table, Mapping) else {}
    added = {key: value for key, value in added.items() if f"{_OPTIONS}.{key}" not in set_here}
    left = {key: value for key, value in own.items() if key not in set_here}
    return replace(
        usual,
        device=str(left.get("device", usual.device)),
        dtype=str(left.get("dtype", usual.dtype)),
        options={**usual.options, **added},
        trust_remote_code=bool(left.get("trust-remote-code", usual.trust_remote_code)),
    )


def _own_flags(path: Path | None) -> dict[str, Mapping[str, Value]]:
    """The flags of single models in a file, by the model's name. Raises UserError for a key that is none."""
    found: dict[str, Mapping[str, Value]] = {}
    for each in _models(path, _read(path)) if path else ():
        if isinstance(each, Mapping):
            own = {key: value for key, value in each.items() if key != "name"}
            for key in own:
                if key not in _OF_A_MODEL:
                    where = f"Keys: name, {', '.join(_OF_A_MODEL)}."
                    raise unknown_name(f"key of a model in {path}", key, ("name", *_OF_A_MODEL), where)
            found[_name(path, each)] = own
    return found


def _read(path: Path) -> dict[str, Value]:
    """The content of a file. Raises UserError if it cannot be read."""
    return cast("dict[str, Value]", read_toml(path, "docs/cli.md shows a complete file."))


def _named(given: Sequence[str]) -> Path | None:
    """The value of the last `--config`."""
    found = None
    for word, after in zip(given, (*given[1:], None), strict=True):
        if word == FLAG:
            found = after
        elif word.startswith(f"{FLAG}="):
            found = word.partition("=")[2]
    return None if found is None else Path(found)


def _set_in(parser: CommandParser, given: Sequence[str]) -> Iterator[str]:
    """The keys of the flags among the arguments, and `model-option.KEY` for options of the model."""
    for word, after in zip(given, (*given[1:], ""), strict=True):
        flag = parser.flag_of(word)
        key = flag and _key_of(flag.action)
        if flag and key == _OPTIONS:
            yield _option(word if flag.has_value else f"--{key}={after}")
        elif key:
            yield key


def _option(word: str) -> str:
    """`model-option.KEY` for `--model-option=KEY=VALUE`; other words as they are."""
    start = f"--{_OPTIONS}="
    return f"{_OPTIONS}.{word.removeprefix(start).partition('=')[0]}" if word.startswith(start) else word


def _key_of(action: argparse.Action) -> str:
    """The name of a flag in a file; empty if it cannot be in one."""
    key = max(action.option_strings, key=len, default="").removeprefix("--")
    return "" if key in _NOT_OF_A_RUN else key


def _keys(parser: CommandParser) -> dict[str, argparse.Action]:
    """The keys of a file, each with its flag."""
    return {key: action for action in parser.actions() if (key := _key_of(action))}


def _words(path: Path, key: str, value: Value, action: argparse.Action) -> list[str]:
    """A key and its value as arguments. Raises UserError for a value of another kind."""
    flag = f"--{key}"
    if not takes_value(action) and isinstance(value, bool):
        return [flag] if value else []
    if isinstance(value, Mapping) and key == _OPTIONS:
        return [f"{flag}={name}={_text(each)}" for name, each in value.items()]
    if isinstance(value, list) and takes_several(action):
        return [f"{flag}={each}" for each in value]
    if takes_value(action) and isinstance(value, str | int | float) and not isinstance(value, bool):
        return [f"{flag}={value}"]
    wanted = "a table" if key == _OPTIONS else "one value" if takes_value(action) else "true or false"
    raise UserError(f"{path}: {key} cannot be {value!r}.", f"Write {wanted}.")


def _text(value: Value) -> str:
    """An option of a model as `--model-option` has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _models(path: Path, fields: Mapping[str, Value]) -> Sequence[Value]:
    models = fields.get("models", [])
    if not isinstance(models, list) or not all(isinstance(each, str | Mapping) for each in models):
        raise UserError(f"{path}: models cannot be {models!r}.", 'Write a list, such as models = ["classical"].')
    return models


def _name(path: Path | None, model: Value) -> str:
    name = model.get("name") if isinstance(model, Mapping) else model
    if not isinstance(name, str):
        raise UserError(f"{path}: a model has no name.", 'Write { name = "classical", ... }.')
    return name
