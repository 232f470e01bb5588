"""What a database driver says when it fails, as one sentence for people without secrets (S15)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy.exc import SQLAlchemyError

FAILURES = (SQLAlchemyError, OSError, UnicodeError)
"""Everything that asking a database raises; drivers let the last two through unwrapped."""

MAX_SHOWN_CHARS = 200

_INIT = "create it with `tagmesh db init`"
_CHECK = "compare it with `tagmesh db check`"
_LOCKED = "another process held a lock for longer than query_timeout"
_PASSWORD = "check user and password in [provisioning] url"  # noqa: S105 - advice, not a password
_GRANT = "grant this user the rights it needs"

_HINTS: Mapping[str, str] = {
    "sqlite 5": _LOCKED,
    "sqlite 6": _LOCKED,
    "sqlite 8": "the file or its folder is read-only for this user",
    "sqlite 14": "this user may not open the file or its folder",
    "sqlite 26": "the file is something else: check [provisioning] url",
    "sqlite no such table": _INIT,
    "sqlite no such column": _CHECK,
    "3D000": "the server has no such database: create it, then run `tagmesh db init`",
    "28P01": _PASSWORD,
    "28000": _PASSWORD,
    "42P01": _INIT,
    "42703": _CHECK,
    "42883": _CHECK,
    "42501": _GRANT,
    "25006": "this server or user is read-only",
    "55P03": _LOCKED,
    "57014": "the answer took longer than query_timeout",
    "mysql 1044": _GRANT,
    "mysql 1045": _PASSWORD,
    "mysql 1049": "the server has no such database: create it, then run `tagmesh db init`",
    "mysql 1054": _CHECK,
    "mysql 1142": _GRANT,
    "mysql 1146": _INIT,
    "mysql 1205": _LOCKED,
    "mysql 2013": "the connection broke, or the answer took longer than query_timeout",
    "mysql 2003": "check host and port, and that the server runs",
}


_PASSING = frozenset(
    {"sqlite 5", "sqlite 6", "55P03", "57014", "mysql 1205", "mysql 2003", "mysql 2013"}
)

_CONFLICTS = frozenset({"40001", "40P01", "mysql 1020", "mysql 1213"})
"""Serialization failures and deadlocks: the server undid one of several transactions."""


def is_conflict(error: Exception) -> bool:
    """Whether the transaction lost against another one that was under way at the same time."""
    return _code(getattr(error, "orig", None) or error) in _CONFLICTS


def may_pass(error: Exception) -> bool:
    """Whether asking again may help: not for what only a person can put right."""
    code = _code(getattr(error, "orig", None) or error)
    return code not in _HINTS or code in _PASSING


def sentence(error: Exception, secrets: Iterable[str]) -> str:
    """One printable line: what the driver said, and what to do where that is known."""
    cause = getattr(error, "orig", None) or error
    hint = _HINTS.get(_code(cause), "")
    lines = str(cause.args[-1] if cause.args else cause).strip().splitlines()
    said = lines[0] if lines else type(cause).__name__
    for secret in secrets:
        said = said.replace(secret, "***")
    said = printable(said, MAX_SHOWN_CHARS)
    return f"{said}; {hint}" if hint else said


def _code(cause: BaseException) -> str:
    if cause.args and isinstance(cause.args[0], int) and not isinstance(cause, OSError):
        return f"mysql {cause.args[0]}"
    sqlstate = getattr(cause, "sqlstate", None)
    if sqlstate:
        return str(sqlstate)
    sqlite_code = getattr(cause, "sqlite_errorcode", None)
    if sqlite_code is not None:
        text = str(cause)
        for missing in ("no such table", "no such column"):
            if text.startswith(missing):
                return f"sqlite {missing}"
        return f"sqlite {sqlite_code & 0xFF}"  # the low byte is the primary result code
    return ""


def printable(text: str, max_chars: int) -> str:
    """``text`` on one line of at most ``max_chars`` + 1 characters, nothing in it a terminal obeys.

    Letters of every alphabet stay; control, format and surrogate characters become escapes (S12).
    """
    cut = text[:max_chars]
    safe = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut
    )
    return safe[:max_chars] + ("…" if len(text) > max_chars or len(safe) > max_chars else "")
