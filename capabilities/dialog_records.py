"""A dialog: the columns of OpenSIPS's table ``dialog`` (version 11, OpenSIPS 3.2), checked.

Names, sizes and meanings are those of the table, so that what an operator exports from it can be
loaded here. In it variables and profiles are one text each, ``name#value|…``; a profile that is
replicated ends in ``/b``, and the sharing tag travels as the variable `TAG_VARIABLE`. Here they are
a mapping and pairs, and the tag belongs to the record, not to the dialog.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Annotated, Any, TypeAlias

import msgspec

from ..protocol.errors import Misuse
from ..protocol.messages import U63

TAG_VARIABLE = "dlgX_shtag"
"""Under this name OpenSIPS keeps a dialog's sharing tag among its variables."""
MAX_TEXT_CHARS = 4096
"""Of a column that is a TEXT or BLOB: route sets, all variables together, all profiles together."""
MAX_PROFILE_CHARS, MAX_VALUE_CHARS = 64, 255
"""Of a profile's name, and of a value in it: every node that counts dialogs keeps them."""
_REPLICATED = "/b"
"""Ends the name of a profile that is replicated over the cluster."""

DialogKey: TypeAlias = tuple[str, str]
"""(Call-ID, from-tag): the same on every node that sees the call. ``dlg_id`` is given by each node
for itself, so two nodes may give the same one."""
Profiles: TypeAlias = tuple[tuple[str, str], ...]
"""(profile, value) pairs; the value is empty in a profile without values."""


class DialogState(IntEnum):
    """As in OpenSIPS."""

    UNCONFIRMED = 1
    EARLY = 2
    CONFIRMED_NA = 3
    """Answered, and no ACK yet."""
    CONFIRMED = 4
    DELETED = 5


ANSWERED = (DialogState.CONFIRMED_NA, DialogState.CONFIRMED)
"""Only such dialogs are replicated."""

_Word = Annotated[str, msgspec.Meta(pattern="^[!-~]+$", max_length=255)]
_Token = Annotated[str, msgspec.Meta(pattern="^[!-~]+$", max_length=64)]
_Uri = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_MaybeUri = Annotated[str, msgspec.Meta(max_length=255)] | None
_Cseq = Annotated[str, msgspec.Meta(pattern="^[0-9]+$", max_length=11)]
_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARS)] | None
_Name = Annotated[str, msgspec.Meta(max_length=64)]
_U32 = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
_Var = Annotated[str, msgspec.Meta(min_length=1)]
ProfileName = Annotated[str, msgspec.Meta(pattern=r"^[^/\s]+$", max_length=MAX_PROFILE_CHARS)]
ProfileValue = Annotated[str, msgspec.Meta(max_length=MAX_VALUE_CHARS)]


class Dialog(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One dialog. Made by `dialog_of` or `dialog_of_row`, which check it; times are Unix seconds.

    As a value of a map it is an array of its columns in this order: never change that, append.
    """

    dlg_id: U63
    """Hash entry · 2³² + id in it, see `did`."""
    callid: _Word
    from_uri: _Uri
    from_tag: _Token
    to_uri: _Uri
    to_tag: Annotated[str, msgspec.Meta(max_length=64)]
    mangled_from_uri: _MaybeUri = None
    mangled_to_uri: _MaybeUri = None
    caller_cseq: _Cseq = "0"
    callee_cseq: _Cseq = "0"
    caller_ping_cseq: _U32 = 0
    callee_ping_cseq: _U32 = 0
    caller_route_set: _Text = None
    callee_route_set: _Text = None
    caller_contact: _MaybeUri = None
    callee_contact: _MaybeUri = None
    caller_sock: _Name = ""
    callee_sock: _Name = ""
    state: Annotated[int, msgspec.Meta(ge=1, le=5)]
    """A `DialogState`."""
    start_time: _U32
    """When it was confirmed."""
    timeout: _U32
    """When it expires."""
    vars: dict[_Var, str] = {}
    profiles: tuple[tuple[ProfileName, ProfileValue], ...] = ()
    script_flags: _U32 = 0
    module_flags: _U32 = 0
    flags: _U32 = 0
    rt_on_answer: _Name | None = None
    rt_on_timeout: _Name | None = None
    rt_on_hangup: _Name | None = None

    def __post_init__(self) -> None:
        for column, pairs in (("vars", self.vars.items()), ("profiles", self.profiles)):
            if sum(len(name) + len(value) + 2 for name, value in pairs) > MAX_TEXT_CHARS:
                raise ValueError(f"field {column!r}: more than {MAX_TEXT_CHARS} characters")

    @property
    def key(self) -> DialogKey:
        """Under which it is stored."""
        return self.callid, self.from_tag

    @property
    def did(self) -> str:
        """``dlg_id`` as OpenSIPS shows it and takes it: two numbers, their hex digits reversed."""
        return f"{self.dlg_id >> 32:x}"[::-1] + "." + f"{self.dlg_id & 0xFFFF_FFFF:x}"[::-1]


COLUMNS = Dialog.__struct_fields__
IDENTITY = ("callid", "from_tag")
"""What a dialog is found by, so what cannot change."""
_EMPTY = msgspec.structs.asdict(
    Dialog(
        dlg_id=0, callid="x", from_uri="x", from_tag="x", to_uri="x", to_tag="", state=1,
        start_time=0, timeout=0,
    )
)  # fmt: skip
_REQUIRED = tuple(field.name for field in msgspec.structs.fields(Dialog) if field.required)
_INTEGERS = tuple(name for name in COLUMNS if type(_EMPTY[name]) is int)
_NULLABLE = tuple(name for name in COLUMNS if _EMPTY[name] is None)
_PLACE = re.compile(r"\$\[(\d+)\]")
"""Where msgspec found something wrong in an array of columns."""


def dialog_of(fields: Mapping[str, Any]) -> Dialog:
    """The dialog of some columns by name; `Misuse` says which one is wrong or missing, and why."""
    unknown = [name for name in fields if name not in COLUMNS]
    if unknown:
        raise Misuse(f"a dialog has no field {unknown[0]!a}; its fields: {', '.join(COLUMNS)}")
    missing = [name for name in _REQUIRED if name not in fields]
    if missing:
        raise Misuse(f"a dialog without field {missing[0]!r}: {', '.join(_REQUIRED)} must be there")
    values = {**_EMPTY, **fields}
    return _checked([values[name] for name in COLUMNS])


def checked(dialog: Dialog) -> Dialog:
    """The dialog, if whoever made it did it right; else `Misuse` as in `dialog_of`."""
    return _checked(msgspec.structs.astuple(dialog))


def _checked(values: Sequence[Any]) -> Dialog:
    try:
        return read_dialog(values)
    except msgspec.ValidationError as error:
        raise Misuse(f"a dialog cannot be like that: {explained(error)}") from error


def changed(dialog: Dialog, changes: Mapping[str, Any]) -> Dialog:
    """The dialog with other values in some columns; `Misuse` as in `dialog_of`."""
    fixed = [name for name in IDENTITY if changes.get(name, now := getattr(dialog, name)) != now]
    if fixed:
        raise Misuse(f"field {fixed[0]!r} of a dialog never changes: that would be another dialog")
    return dialog_of({**msgspec.structs.asdict(dialog), **changes})


def read_dialog(value: object) -> Dialog:
    """The dialog that is the value of a record; `msgspec.ValidationError` when it is none."""
    return msgspec.convert(value, Dialog)


def explained(error: msgspec.ValidationError) -> str:
    """What msgspec says, with the name of the column instead of its place."""
    text = str(error)
    place = _PLACE.search(text)
    if place is None:
        return text
    said = text[: text.index(" - at")]
    return f"field {COLUMNS[int(place[1])]!r}: {said[:1].lower()}{said[1:]}"


# Rows of the table ------------------------------------------------------------------------------


def dialog_of_row(row: Mapping[str, str]) -> tuple[Dialog, str]:
    """(dialog, its sharing tag or "") of a row in which every column is a text, empty = NULL.

    `Misuse` as in `dialog_of`.
    """
    fields: dict[str, Any] = dict(row)
    for name in _INTEGERS:
        if name in row:
            fields[name] = _integer(name, row[name])
    for name in _NULLABLE:
        fields[name] = row.get(name) or None
    variables = dict(_pairs("vars", row.get("vars", "")))
    tag = variables.pop(TAG_VARIABLE, "")
    profiles = _pairs("profiles", row.get("profiles", ""))
    fields["vars"] = variables
    fields["profiles"] = tuple((name.partition("/")[0].strip(), value) for name, value in profiles)
    return dialog_of(fields), tag


def row_of(dialog: Dialog, tag: str = "") -> dict[str, str]:
    """The row of a dialog with a sharing tag; `dialog_of_row` reads it."""
    fields = msgspec.structs.asdict(dialog)
    row = {name: "" if value is None else str(value) for name, value in fields.items()}
    variables = {**dialog.vars, **({TAG_VARIABLE: tag} if tag else {})}
    row["vars"] = _joined(variables.items())
    row["profiles"] = _joined((name + _REPLICATED, value) for name, value in dialog.profiles)
    return row


def _integer(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise Misuse(f"a dialog cannot be like that: field {name!r}: {text[:64]!a} is no number")
    return int(text)


def _joined(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{_escaped(name)}#{_escaped(value)}|" for name, value in pairs)


def _escaped(text: str) -> str:
    return re.sub(r"([\\#|])", r"\\\1", text)


_PAIR = re.compile(r"((?:[^\\#|]|\\.)+)#((?:[^\\#|]|\\.)*)\|", re.DOTALL)


def _pairs(column: str, text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            raise Misuse(
                f"a dialog cannot be like that: field {column!r}: {text[at : at + 40]!a} is not"
                " name#value| with \\ before each \\, # and | inside"
            )
        yield _plain(pair[1]), _plain(pair[2])
        at = pair.end()


def _plain(text: str) -> str:
    return re.sub(r"\\([\\#|])", r"\1", text)
