"""The token of ``[admin] token_file``: who knows it may use the HTTP face (``Authorization:
Bearer``). Without it every user of the machine may."""

from __future__ import annotations

import hmac
import os
import re
import stat
from pathlib import Path

from ..protocol.errors import Misuse

MIN_CHARS, MAX_CHARS = 16, 512
_TOKEN = re.compile(rf"[A-Za-z0-9._~+/=-]{{{MIN_CHARS},{MAX_CHARS}}}")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_token(path: str) -> str:
    """The content of the file. Raises `Misuse`, which never repeats it."""
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_CHARS + 2)
    except OSError as error:
        raise Misuse(f"[admin] token_file {path}: cannot be read: {error.strerror}") from error
    if mode & _OTHERS:
        raise Misuse(
            f"[admin] token_file {path}: others than its owner can use it; chmod 600 {path}"
        )
    token = content.decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise Misuse(
            f"[admin] token_file {path}: it must hold one token of {MIN_CHARS} … {MAX_CHARS} "
            f"letters, digits and ._~+/=-; make one with: openssl rand -hex 32 > {path}"
        )
    return token


def admits(token: str, header: str) -> bool:
    """Does that ``Authorization`` header prove knowledge of the token? An empty token asks for
    nothing. Takes as long for a near miss as for any other."""
    scheme, _, told = header.partition(" ")
    told_bytes = told.strip().encode("utf-8", "replace")
    return not token or (
        scheme.lower() == "bearer" and hmac.compare_digest(told_bytes, token.encode())
    )
