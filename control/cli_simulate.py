"""``tagmesh simulate``: replay one history of the simulator."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from .cli_output import printable

MAX_NODES = 200
EXIT_VIOLATED = 1


@click.command(short_help="Replay a seed of the simulator, or a recording.")
@click.option("--seed", type=click.IntRange(0), help="Decides everything.")
@click.option(
    "--flight",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instead of a seed: feed the recording of a node to the rules again.",
)
@click.option("--nodes", type=click.IntRange(2, MAX_NODES), help="3 … 7 by the seed if not given.")
@click.option("--only", metavar="N,N,…", help="Only these faults of the plan; 'none': no fault.")
@click.option("--traffic", is_flag=True, help="With applications; of tags too with --tags.")
@click.option("--tags", is_flag=True, help="With sharing tags that people move, wrong clocks.")
@click.option("--trace", is_flag=True, help="Print all that happened, with a column per node.")
def simulate(
    seed: int | None,
    flight: Path | None,
    nodes: int | None,
    only: str | None,
    traffic: bool,
    tags: bool,
    trace: bool,
) -> None:
    """Run a whole cluster on virtual time under the faults that a seed draws, with every check.

    Ends with status 1, and says what is wrong, when an invariant does not hold; with --flight when
    what was recorded does not lead to what the node had at the end.
    """
    if (seed is None) == (flight is None):
        raise click.UsageError("give either --seed or --flight")
    if flight is not None:
        _replay(flight)
        return
    assert seed is not None, "one of the two is there"
    _run(seed, nodes, only, traffic=traffic, tags=tags, trace=trace)


def _replay(file: Path) -> None:
    from ..simulation.flight_replay import replay
    from .cli_flight import read_flight, replay_lines

    stories = replay(read_flight(file))
    for story in stories:
        for line in replay_lines(story):
            click.echo(printable(line))
    if any(story.same is False for story in stories):
        raise click.exceptions.Exit(EXIT_VIOLATED)


def _run(
    seed: int, nodes: int | None, only: str | None, *, traffic: bool, tags: bool, trace: bool
) -> None:
    from ..simulation.faults import FaultPlan, busy, run, tagged
    from ..simulation.fenced_traffic import fenced

    plan = FaultPlan.draw(seed, nodes, tags=tags)
    if only is not None:
        plan = plan.only(_numbers(only, len(plan.faults)))
    click.echo(str(plan))
    world = plan.world()
    failure: Exception | None = None
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # what the nodes log is in the table
    try:
        if tags:
            (fenced if traffic else tagged)(plan, world)
        else:
            (busy if traffic else run)(plan, world)
    except Exception as error:  # noqa: BLE001 - whatever it is belongs to the seed
        failure = error
    finally:
        logging.disable(disabled)
    if trace:
        click.echo(world.table())
    steps, messages = world.scheduler.steps, sum(world.sent.values())
    click.echo(f"{world.now:.1f} virtual seconds, {steps} steps, {messages} messages")
    click.echo(f"log hash {world.log_hash}")
    if failure is not None:
        first = str(failure).partition("\n")[0]
        click.echo(f"{type(failure).__name__}: {first}", err=True)
        raise click.exceptions.Exit(EXIT_VIOLATED)


def _numbers(text: str, count: int) -> list[int]:
    if text == "none":
        return []
    numbers = text.split(",")
    if not all(n.isdecimal() and int(n) < count for n in numbers):
        allowed = f"numbers 0 … {count - 1} with commas between, or none"
        raise click.BadParameter(f"{text!a} is not a list of faults; allowed: {allowed}")
    return [int(n) for n in numbers]
