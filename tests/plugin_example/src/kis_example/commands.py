"""``kis tally-facts``: how many facts a file holds."""

from pathlib import Path

import click


@click.command()
@click.argument("knowledge", type=click.Path(path_type=Path))
def tally_facts(knowledge):
    """Count the facts of KNOWLEDGE."""
    from kis_plugin.knowledge.sources.read import read_knowledge

    click.echo(len(read_knowledge(knowledge).facts))
