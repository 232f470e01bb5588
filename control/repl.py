"""A Python prompt with nodes in it: IPython where it is installed, Python's own otherwise.

The nodes run in threads of their own, the prompt in the main one. What happens meanwhile is printed
above the prompt and what is being typed there.
"""

from __future__ import annotations

import code
import importlib.util
import shlex
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from ..protocol.errors import TagmeshError

Mi = Callable[..., Any]
"""Runs a management command: name and positional parameters."""
Say = Callable[[str], None]
"""Prints a line from any thread."""

MAGIC = "%mi"


class PlainPrompt(code.InteractiveConsole):
    """Python's own prompt, with ``%mi`` and lines above what is being typed."""

    def __init__(self, names: dict[str, Any], mi: Mi) -> None:
        super().__init__(names)
        self._mi = mi
        self._prompt = ""
        """What stands before the cursor; empty while something runs."""
        self._readline = _readline(names)

    def say(self, line: str) -> None:
        """See `Say`."""
        typed = f"{self._prompt}{self._readline.get_line_buffer()}" if self._readline else ""
        if self._prompt and typed and sys.stdout.isatty():
            sys.stdout.write(f"\r\x1b[K{line}\n{typed}")
        else:
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def raw_input(self, prompt: str = "") -> str:
        """See `code.InteractiveConsole.raw_input`."""
        self._prompt = prompt
        try:
            return input(prompt)
        finally:
            self._prompt = ""

    def runsource(self, source: str, filename: str = "<input>", symbol: str = "single") -> bool:
        """See `code.InteractiveInterpreter.runsource`."""
        if source.lstrip().startswith(MAGIC):
            line = source.strip().removeprefix(MAGIC)
            result = ask(self._mi, line)
            if result is not None:
                sys.displayhook(result)
            return False
        return super().runsource(source, filename, symbol)

    def run(self, banner: str) -> None:
        """Until the end of input, or ``exit()``."""
        self.interact(banner, exitmsg="")


class IPythonPrompt:
    """IPython's, where printing from other threads goes above the prompt by itself."""

    def __init__(self, names: dict[str, Any], mi: Mi) -> None:
        self._names = names
        self._mi = mi

    def say(self, line: str) -> None:
        """See `Say`."""
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def run(self, banner: str) -> None:
        """Until the end of input, or ``exit``."""
        from IPython.terminal.embed import InteractiveShellEmbed

        make: Callable[..., Any] = InteractiveShellEmbed  # its annotations are half there
        shell = make(banner1=f"{banner}\n", exit_msg="")
        shell.confirm_exit = False
        shell.register_magic_function(lambda line: ask(self._mi, line), magic_name="mi")
        shell(local_ns=self._names, module=ModuleType("__main__"))


def make_prompt(
    names: Mapping[str, Any], mi: Mi, *, plain: bool = False
) -> PlainPrompt | IPythonPrompt:
    """A prompt that knows these names and ``mi``; ``plain``: Python's own."""
    known = {**names, "mi": mi}
    if plain or importlib.util.find_spec("IPython") is None:
        return PlainPrompt(known, mi)
    return IPythonPrompt(known, mi)


def ask(mi: Mi, line: str) -> Any:
    """What a management command says, cut into words as a shell does; an error is one line."""
    try:
        return mi(*shlex.split(line))
    except (TagmeshError, ValueError) as error:
        sys.stdout.write(f"{error}\n")
        return None


def _readline(names: dict[str, Any]) -> ModuleType | None:
    """Completion with Tab and a history, where Python has them."""
    try:
        import readline
        import rlcompleter
    except ImportError:
        return None
    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")
    return readline
