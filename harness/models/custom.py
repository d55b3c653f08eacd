"""A user's own class, named on the command line as `package.module:Class` (docs/add-a-model.md)."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import CodeType, ModuleType, NoneType
from typing import cast

from harness.encoding.oom import enough_to_load
from harness.errors import ModelFailed, UserError, unknown_name
from harness.files.reading import named_reason
from harness.models.common import handle
from harness.progress import prints_are_messages
from harness.settings import read_value
from harness.types import Embedder, ModelHandle, ModelRow, ModelSettings, ModelSpec, Scalar

NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
PAGE = "docs/add-a-model.md shows a complete one."


def open_custom(name: str, settings: ModelSettings) -> ModelHandle:
    """Imports the class and returns its handle.

    If `spec` is an attribute of the class, the model is not made before `load`.

    Raises:
        UserError: if the class cannot be found, lacks a member, or does not take the settings.
        ModelFailed: if its file or its constructor raises.
    """
    module_name, _, class_name = name.partition(":")
    found = getattr(_import(module_name), class_name, None)
    if not inspect.isclass(found):
        names = [each for each, value in vars(sys.modules[module_name]).items() if inspect.isclass(value)]
        raise unknown_name(f"class in {module_name}", class_name, names, PAGE)
    return open_class(name, found, settings)


def open_class(name: str, found: type, settings: ModelSettings) -> ModelHandle:
    """A handle on a class. `name` is `package.module:Class`, by which messages and the identity know it.

    Raises:
        UserError: for a class without `prepare`, `embed` or `spec`, and for an option that its constructor lacks.
        ModelFailed: if the constructor raises.
    """
    _check_methods(name, found)
    arguments = _arguments(name, found, settings)

    def load() -> Embedder[object]:
        with _blamed_on(name, "constructor"), enough_to_load(name):
            return cast("Embedder[object]", found(**arguments))

    spec = getattr(found, "spec", None)
    if isinstance(spec, ModelSpec):
        return handle(_identified(name, found, spec, arguments), load)
    embedder = load()
    if not isinstance(getattr(embedder, "spec", None), ModelSpec):
        raise UserError(f"{name} has no `spec` that is a harness.types.ModelSpec.", PAGE)
    return handle(_identified(name, found, embedder.spec, arguments), lambda: embedder)


def _import(name: str) -> ModuleType:
    """Imports a module, also from the current folder, where it cannot replace an installed one."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()
    with _blamed_on(name, "import"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise UserError(
                f"There is no module {error.name!r} in {here} or among the installed packages.",
                "Write package.module:Class, without .py, from the folder that holds the package.",
            ) from None


@contextmanager
def _blamed_on(name: str, work: str) -> Iterator[None]:
    """Turns what a user's own code raises into a ModelFailed, and the lack of a package into a UserError."""
    try:
        with prints_are_messages():
            yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name:
            what = f"{name} imports {error.name!r}, which is not installed."
            raise UserError(what, f"pip install {error.name}") from error
        why = "This is an error in the model's own code; its traceback is above."
        raise ModelFailed(f"The {work} of {name} failed: {named_reason(error)}.", why) from error


def _check_methods(name: str, found: type) -> None:
    missing = [each for each in ("prepare", "embed") if not callable(getattr(found, each, None))]
    if missing:
        raise UserError(f"{name} has no method {' and no method '.join(missing)}.", PAGE)


def _arguments(name: str, found: type, settings: ModelSettings) -> Mapping[str, Scalar]:
    """The arguments of the constructor: every option, and `device`, `dtype` and `seed` if it has such parameters.

    `auto` is not passed to a parameter that has a default.
    """
    parameters = inspect.signature(found).parameters
    arguments: dict[str, Scalar] = {}
    for key, value in (("device", settings.device), ("dtype", settings.dtype), ("seed", settings.seed)):
        if key not in parameters:
            if key != "seed" and value != "auto":
                raise UserError(
                    f"{name} takes no {key}.", f"Leave --{key} out, or give its constructor a parameter `{key}`."
                )
        elif value != "auto" or parameters[key].default is inspect.Parameter.empty:
            arguments[key] = value
    for key, text in settings.options.items():
        if key not in parameters:
            hint = f"Give its constructor a parameter {key!r}, or leave the option out."
            raise unknown_name(f"option of {name}", key, list(parameters), hint)
        arguments[key] = _as_default(key, text, parameters[key].default)
    return arguments


def _as_default(key: str, text: str, default: object) -> Scalar:
    """Reads an option as a value of its default's type. Without a default it is a text."""
    kind = next((each for each in (bool, int, float) if isinstance(default, each)), str)
    try:
        return cast("Scalar", read_value(text, kind))
    except ValueError as error:
        raise UserError(f"The option {key} cannot be {text!r}: {error}.", f"For example: {key}={default}") from None


def _identified(name: str, found: type, spec: ModelSpec, arguments: Mapping[str, Scalar]) -> ModelSpec:
    """The spec with two things added: a digest of the class's source, and the arguments of its constructor."""
    source = hashlib.sha256(_source(found)).hexdigest()[:12]
    dtype = arguments.get("dtype", "auto")
    return replace(
        spec,
        adapter=f"{name}#{source} {spec.adapter}",
        dtype=spec.dtype if dtype == "auto" else str(dtype),
        options={**spec.options, **{key: value for key, value in arguments.items() if key not in ("device", "dtype")}},
    )


def open_object(embedder: object) -> ModelHandle:
    """A handle on an embedder that exists already, with the identity that its class has by name.

    A spec that the object has of its own is taken as it is. One that is an attribute of the class is the same for every
    object, so what the constructor was given is added, as `open_class` adds it: it is read from the attribute of the
    same name.

    Raises:
        UserError: for an object without `prepare`, `embed` or `spec`, and for a parameter that cannot be read.
    """
    found = type(embedder)
    name = f"{found.__module__}:{found.__qualname__}"
    _check_methods(name, found)
    spec = getattr(embedder, "spec", None)
    if not isinstance(spec, ModelSpec):
        raise UserError(f"{name} has no `spec` that is a harness.types.ModelSpec.", PAGE)
    arguments = _arguments_of(name, embedder) if spec is getattr(found, "spec", None) else {}
    return handle(_identified(name, found, spec, arguments), lambda: cast("Embedder[object]", embedder))


def _arguments_of(name: str, embedder: object) -> Mapping[str, Scalar]:
    """The arguments that an object's constructor was given, except those that equal their defaults."""
    arguments: dict[str, Scalar] = {}
    for key, parameter in inspect.signature(type(embedder)).parameters.items():
        if key == "device":
            continue
        value = getattr(embedder, key, getattr(embedder, f"_{key}", _ABSENT))
        if not isinstance(value, str | int | float | bool | None):
            raise UserError(
                f"{name} is made with {key}, and its spec does not say which.",
                f"Set `self.spec` in its constructor, with {key} among its options, or keep it as `self.{key}`.",
            )
        if key == "seed" or value != parameter.default:
            arguments[key] = value
    return arguments


def _source(found: type) -> bytes:
    """The file that holds a class. The code of a class in a notebook or a script is added to it."""
    try:
        file = Path(inspect.getfile(found)).read_bytes()
    except (TypeError, OSError):
        file = b""
    if file and found.__module__ != "__main__":
        return file
    # what a notebook names as its file, if anything, does not change with its cells
    own = [each for each in found.__mro__ if each.__module__ == found.__module__]
    values = [pair for each in own for pair in sorted(vars(each).items()) if pair[0] != "__firstlineno__"]
    parts = [f"{name}={_text(value)}" for name, value in values]
    return file + "\n".join(parts).encode("utf-8", "surrogatepass")


def _text(value: object) -> str:
    """The text of a class's attribute: a function's source or instructions, or a constant. Others have no text."""
    function = inspect.unwrap(getattr(value, "__func__", getattr(value, "fget", value)))  # type: ignore[arg-type]
    code = function.__code__ if inspect.isfunction(function) else function
    if not isinstance(code, CodeType):
        return repr(code) if isinstance(code, _CONSTANTS) else ""
    try:
        return inspect.getsource(code)
    except (TypeError, OSError):
        return f"{code.co_names} {code.co_code.hex()} {[_text(each) for each in code.co_consts]}"


_ABSENT = object()
_CONSTANTS = (str, bytes, int, float, bool, NoneType, tuple, list, dict, set, frozenset)

ROW = ModelRow(
    "package.module:Class", "your own class: docs/add-a-model.md", ("text", "image", "video"), open_custom, "tests"
)
