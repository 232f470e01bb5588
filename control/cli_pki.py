"""``tagmesh pki``: a certificate authority, certificates of nodes, a check of them."""

from __future__ import annotations

import click

from ..protocol.identity import MAX_ID, NodeId
from .cli_config import config_option
from .cli_output import output_option, print_columns, print_done, print_json

EXIT_UNHEALTHY = 1


@click.group(short_help="Make a CA, issue node certificates, check them.")
def pki() -> None:
    """Make a CA, issue node certificates, check them."""


@pki.command(name="init-ca")
@click.option("--out", default="ca", show_default=True, metavar="DIR", help="Folder for the files.")
@click.option("--trust-domain", metavar="NAME", help="The domain of all nodes.  [default: tagmesh]")
@click.option("--days", type=int, help="Validity.  [default: 10 years]")
@output_option
def init_ca(out: str, trust_domain: str | None, days: int | None, output: str) -> None:
    """Make a certificate authority: ca.key, to be kept secret, and ca.crt, for every node."""
    from . import pki as files

    key, certificate = files.init_ca(
        out,
        files.DEFAULT_TRUST_DOMAIN if trust_domain is None else trust_domain,
        days=files.CA_DAYS if days is None else days,
    )
    result = {"wrote": [str(key), str(certificate)]}
    print_done(f"wrote {key} (0600), {certificate}", result, output)
    click.echo(f"Next: tagmesh pki issue --ca {out} --node 1 --out tls", err=True)


@pki.command()
@click.option("--ca", default="ca", show_default=True, metavar="DIR", help="Folder of the CA.")
@click.option("--node", type=click.IntRange(1, MAX_ID), required=True, help="Node id.")
@click.option(
    "--out", default="tls", show_default=True, metavar="DIR", help="Folder for the files."
)
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="Host name; repeatable.")
@click.option("--ip", "ips", multiple=True, metavar="ADDRESS", help="IP address; repeatable.")
@click.option("--days", type=int, help="Validity.  [default: 397]")
@click.option("--trust-domain", metavar="NAME", help="[default: that of the CA]")
@output_option
def issue(
    ca: str,
    node: int,
    out: str,
    hosts: tuple[str, ...],
    ips: tuple[str, ...],
    days: int | None,
    trust_domain: str | None,
    output: str,
) -> None:
    """Issue key and certificate of a node: node.key (0600) and node.crt, with a copy of ca.crt."""
    from . import pki as files

    written = files.issue(
        ca,
        NodeId(node),
        out,
        hosts=hosts,
        ips=ips,
        days=files.NODE_DAYS if days is None else days,
        trust_domain=trust_domain,
    )
    listed = ", ".join(map(str, written[1:]))
    result = {"wrote": [str(path) for path in written]}
    print_done(f"wrote {written[0]} (0600), {listed}", result, output)


@pki.command()
@config_option
@output_option
def check(path: str | None, output: str) -> None:
    """Check the certificates that the configuration names; exit status 1 when one FAILs."""
    from .configfile import load_config
    from .pki_check import Verdict
    from .pki_check import check as check_files

    config = load_config(path)
    checks = check_files(config.tls, NodeId(config.node.id))
    if output == "json":
        print_json([found._asdict() for found in checks])
    else:
        print_columns(
            ("RESULT", "CHECK", "FOUND"),
            [(found.verdict, found.name, found.text) for found in checks],
        )
    if any(found.verdict is Verdict.FAIL for found in checks):
        click.get_current_context().exit(EXIT_UNHEALTHY)
