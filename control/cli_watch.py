"""``tagmesh ctl events``, ``wait`` and ``health``: what a running instance goes through."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ..protocol.events import EventRecord
from ..protocol.status import Status
from .cli import EXIT_NO_ANSWER, EXIT_REFUSED, Failure
from .cli_client import client_of
from .cli_output import output_option, print_columns, print_json, printable
from .client import MiClient, MiError, NoAnswer

if TYPE_CHECKING:
    from .health import Finding

EXIT_TIMED_OUT = 6
NAGIOS_UNKNOWN = 3
POLL_S = 0.2


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option("--after", default="", metavar="PLACE", help="Only after the 'next' of an answer.")
@click.option("--since", type=click.IntRange(0), metavar="N", help="Only after the event number N.")
@output_option
@click.pass_context
def events(ctx: click.Context, follow: bool, after: str, since: int | None, output: str) -> None:
    """What happened on this instance, the last 1,000 events at most.

    With -f and -o json each event is one line of JSON.
    """
    client = client_of(ctx)
    page = client.call("tagmesh_events", [after])
    if since is not None:
        page = _since(page, since)
    if output == "json" and not follow:
        print_json(page)
        return
    while True:
        if page["lost"]:
            click.echo(f"{page['lost']} earlier events are not kept any more", err=True)
        for event in page["events"]:
            click.echo(json.dumps(event) if output == "json" else _line(event))
        if not follow:
            return
        _pause()
        page = client.call("tagmesh_events", [page["next"]])


def _since(page: Any, number: int) -> Any:
    """The part of everything that is kept after the event of that number."""
    first = page["events"][0]["sequence"] if page["events"] else number + 1
    fresh = [event for event in page["events"] if event["sequence"] > number]
    return {**page, "events": fresh, "lost": max(first - 1 - number, 0)}


def _line(event: Any) -> str:
    from .wording import event_line

    return event_line(msgspec.convert(event, EventRecord), date=True)


def _pause() -> None:
    from threading import Event

    Event().wait(POLL_S)


@click.command()
@click.option("--ready", is_flag=True, help="Provisioned, and the syncs of its start done.")
@click.option("--node", "nodes", type=int, multiple=True, help="Linked with that node; repeatable.")
@click.option("--cap", "caps", multiple=True, metavar="NAME", help="That capability is OK.")
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="That tag is active here.")
@click.option("--timeout", type=click.FloatRange(0), default=60.0, show_default=True, help="s")
@output_option
@click.pass_context
def wait(
    ctx: click.Context,
    ready: bool,
    nodes: tuple[int, ...],
    caps: tuple[str, ...],
    tags: tuple[str, ...],
    timeout: float,
    output: str,
) -> None:
    """Wait until this instance answers and all that is named holds; else exit status 6.

    Without an option: until it is ready.
    """
    begin = time.monotonic()
    ready = ready or not (nodes or caps or tags)
    while True:
        missing = _asked_missing(client_of(ctx), ready, nodes, caps, tags)
        waited_s = time.monotonic() - begin
        if not missing:
            break
        if waited_s >= timeout:
            raise Failure(f"not so after {timeout:g} s: {'; '.join(missing)}", EXIT_TIMED_OUT)
        _pause()
    result = {"waited_s": round(waited_s, 3)}
    print_json(result) if output == "json" else click.echo(f"ok: after {waited_s:.1f} s")


def _asked_missing(
    client: MiClient,
    ready: bool,
    nodes: Sequence[int],
    caps: Sequence[str],
    tags: Sequence[str],
) -> list[str]:
    try:
        status, _ = client.state()
    except (NoAnswer, MiError) as error:
        return [str(error).partition("\n")[0]]
    return list(_missing(status, ready, nodes, caps, tags))


def _missing(
    status: Status,
    ready: bool,
    nodes: Sequence[int],
    caps: Sequence[str],
    tags: Sequence[str],
) -> Iterator[str]:
    clusters = status.clusters
    if ready and not (status.ready and status.healthy):
        yield "; ".join(status.waits_for) or "not ready"
    linked = {p.node_id for c in clusters for p in c.peers if p.connected}
    yield from (f"no link with node {node}" for node in nodes if node not in linked)
    synced = {one.name: one.state for c in clusters for one in c.capabilities}
    for name in caps:
        if synced.get(name) != "ok":
            yield f"{name} is {synced.get(name, 'unknown here')}"
    known = {tag.name: tag.state for c in clusters for tag in c.tags}
    known |= {f"{tag.name}/{c.cluster_id}": tag.state for c in clusters for tag in c.tags}
    for name in tags:
        if known.get(name) != "active":
            yield f"tag {name} is {known.get(name, 'unknown here')}"


@click.command()
@click.argument("others", nargs=-1, metavar="[URL]...")
@click.option("--nagios", is_flag=True, help="One line, and exit status 0, 1, 2 or 3.")
@output_option
@click.pass_context
def health(ctx: click.Context, others: tuple[str, ...], nagios: bool, output: str) -> None:
    """PASS, WARN or FAIL for each thing to look at; exit status 1 when one FAILs.

    URLs of further instances let it compare what the nodes see.
    """
    from .health import Verdict, judge, worst

    clients = [client_of(ctx), *(client_of(ctx).beside(url) for url in others)]
    answers = {client.url: _answer(client) for client in clients}
    silent = not any(isinstance(answer, Status) for answer in answers.values())
    findings = judge(answers)
    verdict = worst(findings)
    if nagios:
        status = NAGIOS_UNKNOWN if silent else list(Verdict).index(verdict)
        click.echo(_nagios(findings, status))
        ctx.exit(status)
    if output == "json":
        listed = [finding._asdict() for finding in findings]
        print_json({"verdict": verdict, "findings": listed})
    else:
        print_columns(("RESULT", "FOUND"), findings)
    if silent:
        ctx.exit(EXIT_NO_ANSWER)
    if verdict is Verdict.FAIL:
        ctx.exit(EXIT_REFUSED)


def _answer(client: MiClient) -> Status | str:
    try:
        return client.state()[0]
    except (NoAnswer, MiError) as error:
        return str(error).partition("\n")[0]


def _nagios(findings: Sequence[Finding], status: int) -> str:
    """One line without what Nagios takes for performance data."""
    word = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[status]
    troubles = [finding.text for finding in findings if finding.verdict != "PASS"]
    text = "; ".join(troubles) or f"{len(findings)} checks passed"
    return printable(f"TAGMESH {word} - {text}").replace("\n", " ").replace("|", "/")
