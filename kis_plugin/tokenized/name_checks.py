"""Refuses facts that the tokenizer would not read as they are written.

Some tokenizers fold case, accents or compatibility forms before they split text: two facts that differ in these alone
are one text to the model, which would see it twice as often as the configuration says. And the text of a special token
(``<s>`` in a fact about HTML) becomes that token, an end of document inside a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.fact_codes import FactCodes, coded
from kis_plugin.knowledge.facts import Fact, Passage
from kis_plugin.knowledge.sources.text_files import quoted
from kis_plugin.storage.unicode_forms import canonical
from kis_plugin.templates.book import TemplateBook
from kis_plugin.tokenized.tokenizer import NormalizingTokenizer, TextTokenizer

__all__ = ["control_token", "control_tokens", "refuse_unreadable_names"]

_NAMED = 20  # problems that are reported in full
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_UNASSIGNED = "\U0010fffe"  # in no vocabulary


def refuse_unreadable_names(
    facts: Sequence[Fact], passages: Sequence[Passage], book: TemplateBook, tokenizer: TextTokenizer
) -> None:
    """Check all facts and passages against the tokenizer; without effect for one that declares no rules.

    Args:
        facts: All facts, controls included.
        passages: All passages.
        book: The templates of the facts.
        tokenizer: The run's tokenizer.

    Raises:
        KISError: Facts that are one text to the tokenizer, and text of special or added tokens, with their ids.
    """
    if not isinstance(tokenizer, NormalizingTokenizer):
        return
    problems = [*_equal_facts(facts, tokenizer), *_token_text(facts, passages, book, tokenizer)]
    if len(problems) > _NAMED:
        more = Problem("knowledge", f"and {len(problems) - _NAMED:,} more", "none", "Correct those above first.")
        problems = [*problems[:_NAMED], more]
    if problems:
        raise KISError(problems)


def control_tokens(tokenizer: TextTokenizer) -> Mapping[int, str]:
    """Return the control tokens that text may become, by id; empty for a tokenizer that declares none.

    The token for unknown characters is not among them, nor are those for single bytes: text that is not in the
    vocabulary becomes these.
    """
    if not isinstance(tokenizer, NormalizingTokenizer):
        return {}
    texts = [text for text in tokenizer.reserved if not _BYTE.fullmatch(text)]
    (unknown,) = tokenizer.encode([_UNASSIGNED])
    found = ((one.ids, text) for one, text in zip(tokenizer.encode(texts), texts, strict=True))
    return {ids[0]: text for ids, text in found if len(ids) == 1 and ids[0] not in unknown.ids}


def control_token(ids: npt.NDArray[np.integer], lengths: IntArray, tokens: Mapping[int, str]) -> tuple[int, str] | None:
    """Return which of some texts holds a control token, and the token; None if none does.

    The names were searched for such text as it is written. What is left are tokens that a normalizer makes of other
    text (``<EOS>`` in lower case), and those that a name and its template make together.

    Args:
        ids: All texts end to end, (total,).
        lengths: (texts,)
        tokens: What ``control_tokens`` returned.
    """
    hits = np.flatnonzero(np.isin(ids, list(tokens)))
    if not len(hits):
        return None
    return int(np.searchsorted(np.cumsum(lengths), hits[0], side="right")), tokens[int(ids[hits[0]])]


def _equal_facts(facts: Sequence[Fact], tokenizer: NormalizingTokenizer) -> Iterator[Problem]:
    first: dict[tuple[str, str, str], Fact] = {}
    for index in _candidates(coded(facts)).tolist():
        fact = facts[index]
        key = (fact.relation, _read(fact.subject, tokenizer), _read(fact.object, tokenizer))
        other = first.setdefault(key, fact)
        if other[:3] != fact[:3]:
            found = f"{quoted(f'{fact.subject} | {fact.relation} | {fact.object}')}, the same text to the tokenizer as"
            hint = f"The tokenizer reads {quoted(fact.subject)} as {quoted(_read(fact.subject, tokenizer))}."
            yield Problem(f"fact {fact.id!r}", f"{found} fact {other.id!r}", "each fact once", hint)


def _read(name: str, tokenizer: NormalizingTokenizer) -> str:
    return canonical(tokenizer.normalized(name))


def _candidates(codes: FactCodes) -> IntArray:
    """Return the indices of facts that share relation and folded names with another: those that may be equal, sorted.

    Folding is coarser than any tokenizer's normalization, so no other pair can be equal.
    """
    columns = [np.asarray(column, dtype=np.int64) for column in (codes.relation, codes.subject, codes.object)]
    order = np.lexsort(columns)  # (facts,): equal triples next to each other
    same = np.ones(max(len(order) - 1, 0), dtype=np.bool_)
    for column in columns:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    hits = np.zeros(len(order), dtype=np.bool_)
    hits[1:] |= same
    hits[:-1] |= same
    return np.sort(order[hits])


def _token_text(
    facts: Iterable[Fact], passages: Iterable[Passage], book: TemplateBook, tokenizer: NormalizingTokenizer
) -> Iterator[Problem]:
    if not tokenizer.reserved:
        return
    # Longest first, so that <|end|> is named and not a shorter token inside it.
    pattern = re.compile("|".join(map(re.escape, sorted(tokenizer.reserved, key=lambda text: (-len(text), text)))))
    relations: set[str] = set()
    for fact in facts:
        relations.add(fact.relation)
        for name in (fact.subject, fact.object):
            if match := pattern.search(name):
                yield _problem(f"fact {fact.id!r}", name, match.group())
    for passage in passages:
        if match := pattern.search(passage.text):
            yield _problem(f"passage {passage.id!r}", passage.text[max(match.start() - 20, 0) :], match.group())
    for relation in sorted(relations):
        templates = book.of(relation)
        for text in (*templates.statements, *templates.questions, *templates.reversed):
            if match := pattern.search(text):
                yield _problem(f"template of relation {relation!r}", text, match.group())


def _problem(where: str, text: str, token: str) -> Problem:
    hint = "Write it another way: the tokenizer makes a control token of it."
    return Problem(where, f"the text of the token {token!r} in {quoted(text)}", "text without special tokens", hint)
