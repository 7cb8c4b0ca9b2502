"""A probe kind of the held-out sentences in which the object precedes the subject."""

from kis_plugin.retention.questions.probes import TemplateProbe


def _object_first(templates):
    return [text for text in templates.statements[1:] if text.index("{object}") < text.index("{subject}")]


reversed_order = TemplateProbe("reversed_order", _object_first)
