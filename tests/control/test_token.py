"""The token of the HTTP face: its file, its check, and what it guards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tagmesh.control.cli import root
from tagmesh.control.token import MAX_CHARS, MIN_CHARS, admits, read_token
from tagmesh.protocol.errors import Misuse
from tests.control.fake_node import FakeNode, served
from tests.control.http_calls import JSON, exchange

TOKEN = "0123456789abcdef" * 4
WHICH = b'{"jsonrpc":"2.0","id":1,"method":"which"}'


def written(folder: Path, content: str, mode: int = 0o600) -> str:
    file = folder / "token"
    file.write_text(content)
    file.chmod(mode)
    return str(file)


@pytest.fixture
def url() -> Iterator[str]:
    with served(FakeNode(), token=TOKEN) as running:
        yield running


@pytest.mark.parametrize("content", [TOKEN, f"{TOKEN}\n", "a" * MIN_CHARS, "a" * MAX_CHARS])
def test_a_file_holds_one_token(tmp_path: Path, content: str) -> None:
    assert read_token(written(tmp_path, content)) == content.strip()


@pytest.mark.parametrize(
    "content", ["", "short", "a" * (MAX_CHARS + 1), "two tokens in one line", "ü" * 32, "a\n" * 20]
)
def test_what_is_no_token_is_told_and_not_repeated(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(Misuse, match="it must hold one token") as raised:
        read_token(path)
    assert not content or content not in str(raised.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(Misuse, match="chmod 600"):
        read_token(written(tmp_path, TOKEN, mode))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="No such file"):
        read_token(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("header", "good"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN} ", True),
        ("", False),
        ("Bearer", False),
        ("Bearer ", False),
        (TOKEN, False),
        (f"Basic {TOKEN}", False),
        (f"Bearer {TOKEN}0", False),
        (f"Bearer {TOKEN[:-1]}", False),
        ("Bearer \udcff", False),
    ],
)
def test_only_the_token_admits(header: str, good: bool) -> None:
    assert admits(TOKEN, header) is good
    assert admits("", header)


@pytest.mark.parametrize("path", ["/mi", "/api/v1/state", "/metrics", "/events", "/nowhere"])
def test_without_it_nothing_is_told(url: str, path: str) -> None:
    method, body = ("POST", WHICH) if path == "/mi" else ("GET", None)
    status, headers, _ = exchange(url, method, path, body, JSON)
    assert (status, headers["www-authenticate"].lower()) == (401, "bearer")
    wrong = JSON | {"Authorization": "Bearer nonsense"}
    assert exchange(url, method, path, body, wrong)[0] == 401


def test_with_it_everything_is_as_before(url: str) -> None:
    known = JSON | {"Authorization": f"Bearer {TOKEN}"}
    assert exchange(url, "POST", "/mi", WHICH, known)[0] == 200
    assert exchange(url, "GET", "/metrics", None, known)[0] == 200
    assert exchange(url, "GET", "/nowhere", None, known)[0] == 404
    assert exchange(url, "GET", "/metrics", None, known | {"Host": "evil.example"})[0] == 403


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/tag/1/vip1", "/cap/1/dialog-dlg-repl"])
def test_load_balancers_need_none(url: str, path: str) -> None:
    assert exchange(url, "GET", path)[0] == 200


def test_the_command_line_knows_where_to_find_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ctl(*words: str) -> int:
        return CliRunner().invoke(root, ["ctl", *words], prog_name="tagmesh").exit_code

    monkeypatch.delenv("TAGMESH_TOKEN_FILE", raising=False)
    assert ctl("--url", url, "nodes") == 4
    assert ctl("--url", url, "status") == 4
    written(tmp_path, TOKEN)
    config = tmp_path / "tagmesh.toml"
    http = url.removeprefix("http://")
    config.write_text(f'[node]\nid = 1\n[admin]\nhttp = "{http}"\ntoken_file = "token"\n')
    assert ctl("-c", str(config), "nodes") == 0
    monkeypatch.setenv("TAGMESH_TOKEN_FILE", str(tmp_path / "token"))
    assert ctl("--url", url, "nodes") == 0
    assert ctl("--url", url, "health", url) in (0, 1)
