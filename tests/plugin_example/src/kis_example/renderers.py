"""Facts as a question and its answer."""

from dataclasses import dataclass

from kis_plugin.templates.protocols import Rendered


@dataclass(frozen=True)
class Quiz:
    """One template: ``Q: born in of Ada? A: London.``"""

    ask: str = "Q: "
    answer: str = " A: "
    name = "quiz"

    def template_count(self, relation, book):
        return 1

    def render(self, fact, template, book):
        head = f"{self.ask}{book.label(fact.relation)} of {fact.subject}?{self.answer}"
        return Rendered(f"{head}{fact.object}.", (len(head), len(head) + len(fact.object)))
