"""Terse sentences for every relation."""

from kis_plugin.knowledge.facts import Templates

STATEMENTS = (
    "{subject}, {relation}: {object}.",
    "{relation} of {subject}. {object}.",
    "{object}. Thus the {relation} of {subject}.",
)


class Telegraph:
    name = "telegraph"

    def templates(self):
        return {"*": Templates(STATEMENTS)}
