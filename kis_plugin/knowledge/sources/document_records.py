"""Records that are documents: plain text, questions with answers, conversations, instructions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from kis_plugin.knowledge.sources.text_files import Problems, quoted
from kis_plugin.storage.text_rules import is_unicode

__all__ = ["document_text", "is_document"]


class _Form(NamedTuple):
    """One way in which a record holds a document.

    Attributes:
        keys: The keys by which it is recognised, all of them.
        text: Returns the document; raises ``_WrongError`` for a value of another type.
    """

    keys: tuple[str, ...]
    text: Callable[[Mapping[str, Any]], str]


class _WrongError(Exception):
    """A value that is not as it should be: key, value, what was expected."""


def is_document(record: Mapping[str, Any]) -> bool:
    """Return whether a record holds a document, by its keys."""
    return _form(record) is not None


def document_text(record: Mapping[str, Any], where: str, problems: Problems) -> str:
    """Return the text of a record, empty with a problem if it has none.

    Args:
        record: ``text``; or ``question`` and ``answer``; or ``messages`` (or ``conversations``), a list of turns with
            ``role`` and ``content`` (or ``from`` and ``value``); or ``prompt`` and ``completion`` (or ``response``); or
            ``instruction``, ``input`` if any, and ``output``.
        where: Its file and line.
        problems: Collects errors.
    """
    form = _form(record)
    if form is None:
        keys = ", ".join(map(repr, list(record)[:8]))
        problems.add(f"{where} text", f"only the keys {keys}", "the key 'text', as the first record has")
        return ""
    try:
        text = form.text(record).strip()
    except _WrongError as error:
        key, value, expected = error.args
        problems.add(f"{where} {key}", quoted(value), expected)
        return ""
    if not text:
        problems.add(f"{where} {form.keys[-1]}", "an empty value", "text")
    elif not is_unicode(text):
        problems.add(f"{where} {form.keys[-1]}", "a lone surrogate", "text that can be written as UTF-8")
    else:
        return text
    return ""


def _form(record: Mapping[str, Any]) -> _Form | None:
    return next((form for form in _FORMS if all(key in record for key in form.keys)), None)


def _text(record: Mapping[str, Any], key: str, optional: bool = False) -> str:
    value = record.get(key)
    if optional and value is None:
        return ""
    if not isinstance(value, str):
        raise _WrongError(key, value, "text")
    return value.strip()


def _joined(*keys: str) -> Callable[[Mapping[str, Any]], str]:
    """Return a form's text: the values of some keys, a line each; keys with a question mark may be missing."""

    def text(record: Mapping[str, Any]) -> str:
        parts = [_text(record, key.rstrip("?"), key.endswith("?")) for key in keys]
        needed = [part for key, part in zip(keys, parts, strict=True) if not key.endswith("?")]
        return "\n".join(filter(None, parts)) if all(needed) else ""

    return text


def _question_and_answer(record: Mapping[str, Any]) -> str:
    answer = record.get("answer")
    if isinstance(answer, Sequence) and not isinstance(answer, str) and answer:
        answer = answer[0]
    question, answer = _text(record, "question"), _text({"answer": answer}, "answer")
    return f"Question: {question}\nAnswer: {answer}" if question and answer else ""


def _conversation(key: str) -> Callable[[Mapping[str, Any]], str]:
    def text(record: Mapping[str, Any]) -> str:
        turns = record[key]
        expected = "a list of turns, each with role and content (or from and value)"
        if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
            raise _WrongError(key, turns, expected)
        return "\n".join(filter(None, (_turn(turn, key, expected) for turn in turns)))

    return text


def _turn(turn: Mapping[str, Any], key: str, expected: str) -> str:
    role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    if isinstance(content, list):  # parts of a message, of which those with text count
        texts = [part.get("text") for part in content if isinstance(part, Mapping)]
        content = " ".join(text for text in texts if isinstance(text, str))
    if not isinstance(role, str) or not isinstance(content, str):
        raise _WrongError(key, turn, expected)
    speaker = _SPEAKERS.get(role.lower(), role.strip().capitalize())
    return f"{speaker}: {content.strip()}" if content.strip() else ""


_SPEAKERS = {"human": "User", "user": "User", "gpt": "Assistant", "assistant": "Assistant", "system": "System"}
_FORMS = (
    _Form(("text",), _joined("text")),
    _Form(("question", "answer"), _question_and_answer),
    _Form(("messages",), _conversation("messages")),
    _Form(("conversations",), _conversation("conversations")),
    _Form(("instruction", "output"), _joined("instruction", "input?", "output")),
    _Form(("prompt", "completion"), _joined("prompt", "completion")),
    _Form(("prompt", "response"), _joined("prompt", "response")),
)
