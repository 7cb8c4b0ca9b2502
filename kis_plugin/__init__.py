"""KIS: an exact amount of domain knowledge in a pretraining run, and whether it stays.

The core knows no framework: adapters (``kis_hf``, ``kis_litgpt``) turn a framework's events into the hooks of
``kis_plugin.plugins.hookspecs``; ``kis_predict`` reads the run logs.

What stands in ``__all__`` is for users, and for authors of plugins and adapters. Imports wait until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kis_plugin.errors import KISError, Problem
from kis_plugin.hook_markers import hookimpl, hookspec
from kis_plugin.lazy_names import lazy_names

if TYPE_CHECKING:
    from kis_plugin.config.load import load_config
    from kis_plugin.config.schema import Config
    from kis_plugin.infusion.protocols import OrderedSchedule, Schedule
    from kis_plugin.knowledge.facts import Fact, Knowledge, Passage, Templates
    from kis_plugin.knowledge.protocols import Selection, Source, StreamingSource
    from kis_plugin.knowledge.sources.read import read_knowledge
    from kis_plugin.plugins.session import Session
    from kis_plugin.retention.protocols import ProbeKind
    from kis_plugin.run.context import TrainingRun
    from kis_plugin.run.infuser import Infuser, RowSource
    from kis_plugin.run.log import End, Guard, Loss, Retention, Run, RunLog, RunLogWriter, read_run_log
    from kis_plugin.run.model_view import ModelView, TreeView
    from kis_plugin.run.protocols import ModelLoader, RunPlugin
    from kis_plugin.run.ranks import Ranks
    from kis_plugin.run.saved_model import LoadedModel, LoadOptions
    from kis_plugin.templates.protocols import Rendered, Renderer, TemplateSet

__all__ = [
    "Config", "End", "Fact", "Guard", "Infuser", "KISError", "Knowledge", "LoadOptions", "LoadedModel", "Loss",
    "ModelLoader", "ModelView", "OrderedSchedule", "Passage", "ProbeKind", "Problem", "Ranks", "Rendered", "Renderer",
    "Retention", "RowSource", "Run", "RunLog", "RunLogWriter", "RunPlugin", "Schedule", "Selection", "Session",
    "Source", "StreamingSource", "TemplateSet", "Templates", "TrainingRun", "TreeView", "__version__", "hookimpl",
    "hookspec", "load_config", "read_knowledge", "read_run_log",
]  # fmt: skip

__version__ = "0.2.0"

_NAMES = {
    ".config.load": ("load_config",),
    ".config.schema": ("Config",),
    ".infusion.protocols": ("OrderedSchedule", "Schedule"),
    ".knowledge.facts": ("Fact", "Knowledge", "Passage", "Templates"),
    ".knowledge.protocols": ("Selection", "Source", "StreamingSource"),
    ".knowledge.sources.read": ("read_knowledge",),
    ".plugins.session": ("Session",),
    ".retention.protocols": ("ProbeKind",),
    ".run.context": ("TrainingRun",),
    ".run.infuser": ("Infuser", "RowSource"),
    ".run.log": ("End", "Guard", "Loss", "Retention", "Run", "RunLog", "RunLogWriter", "read_run_log"),
    ".run.model_view": ("ModelView", "TreeView"),
    ".run.protocols": ("ModelLoader", "RunPlugin"),
    ".run.ranks": ("Ranks",),
    ".run.saved_model": ("LoadOptions", "LoadedModel"),
    ".templates.protocols": ("Rendered", "Renderer", "TemplateSet"),
}
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
