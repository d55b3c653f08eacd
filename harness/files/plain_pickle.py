"""Reads pickles of plain data without the module pickle. Nothing here can call or import what a pickle names."""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.errors import UserError
from harness.files.reading import explain_reading
from harness.files.strict_json import check_strings

_Stack = list[object]
_KIND, _HINT = "a complete pickle", "It may be damaged. Fetch it again."

_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
"""Operations that push their argument."""
_CONSTANTS: Mapping[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "EMPTY_TUPLE": tuple,
}
_PUTS, _GETS = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = {"PROTO", "FRAME"}
_NAMES = {"GLOBAL", "INST"}


def read_plain_pickle(path: Path) -> object:
    """The content of a pickle of containers, strings and numbers, written by Python 2 or 3 in any protocol.

    Raises: UserError that names everything else that the pickle asks for, and for a damaged file.
    """
    with explain_reading(path, _KIND, _HINT):
        data = path.read_bytes()
    try:
        with explain_reading(path, _KIND, _HINT):
            return _run(data)
    except _Refused as error:
        what = f"{path} asks for {error.what}, which plain data does not need."
        hint = "Do not open this file with pickle: it could run any program. Fetch it from where it was published."
        raise UserError(what, hint) from None


class _Refused(UserError):
    """A pickle asks for something that is not plain data. `what` names it."""


def _run(data: bytes) -> object:
    stack: _Stack = []
    below: list[_Stack] = []
    """The stack below each mark."""
    memo: dict[object, object] = {}
    for operation, argument, _ in pickletools.genops(io.BytesIO(data)):
        name = operation.name
        if name in _VALUES:
            check_strings(argument)
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name in _PUTS:
            memo[argument] = stack[-1]
        elif name in _GETS:
            stack.append(memo[argument])
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name == "MARK":
            below.append(stack)
            stack = []
        elif name in _FROM_MARK:
            above, stack = stack, below.pop()
            _FROM_MARK[name](stack, above)
        elif name in _TUPLES:
            stack.append(tuple(reversed([stack.pop() for _ in range(_TUPLES[name])])))
        elif name in _FROM_TOP:
            _FROM_TOP[name](stack)
        elif name == "STOP":
            return stack.pop()
        elif name not in _NOTHING:
            raise _Refused(_asked_for(name, argument, stack))
    raise ValueError("it does not end")


def _asked_for(name: str, argument: object, stack: _Stack) -> str:
    if name in _NAMES:
        return str(argument).replace(" ", ".")
    return ".".join(map(str, stack[-2:])) if name == "STACK_GLOBAL" else f"the operation {name}"


def _extend(stack: _Stack, above: _Stack) -> None:
    target = stack[-1]
    if not isinstance(target, list):
        raise TypeError("it adds to something that is not a list")
    target.extend(above)


def _update(stack: _Stack, above: _Stack) -> None:
    target = stack[-1]
    if not isinstance(target, dict):
        raise TypeError("it sets items of something that is not a dictionary")
    target.update(zip(_keys(above[::2]), above[1::2], strict=True))


def _unite(stack: _Stack, above: _Stack) -> None:
    target = stack[-1]
    if not isinstance(target, set):
        raise TypeError("it adds to something that is not a set")
    target.update(_keys(above))


def _new_dict(stack: _Stack, above: _Stack) -> None:
    stack.append(dict(zip(_keys(above[::2]), above[1::2], strict=True)))


def _keys(values: _Stack) -> _Stack:
    """The values, which are hashed. The hash of a container calls itself for each level, without any limit."""
    if any(isinstance(each, tuple | frozenset) for each in values):
        raise TypeError("a key is a container")
    return values


def _append(stack: _Stack) -> None:
    _extend(stack, [stack.pop()])


def _set_item(stack: _Stack) -> None:
    value, key = stack.pop(), stack.pop()
    _update(stack, [key, value])


_FROM_MARK: Mapping[str, Callable[[_Stack, _Stack], None]] = {
    "APPENDS": _extend,
    "SETITEMS": _update,
    "ADDITEMS": _unite,
    "LIST": lambda stack, above: stack.append(above),
    "TUPLE": lambda stack, above: stack.append(tuple(above)),
    "FROZENSET": lambda stack, above: stack.append(frozenset(_keys(above))),
    "DICT": _new_dict,
}
"""Operations on the values above the last mark."""
_FROM_TOP: Mapping[str, Callable[[_Stack], None]] = {"APPEND": _append, "SETITEM": _set_item}
