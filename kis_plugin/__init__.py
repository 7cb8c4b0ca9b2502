"""KIS: an exact amount of domain knowledge in a pretraining run, and whether it stays.

The core knows no framework: adapters (``kis_hf``, ``kis_litgpt``) turn a framework's events into the hooks of
``kis_plugin.plugins.hookspecs``; ``kis_predict`` reads the run logs.
"""

from kis_plugin.errors import KISError, Problem
from kis_plugin.hook_markers import hookimpl

__all__ = ["KISError", "Problem", "__version__", "hookimpl"]

__version__ = "0.2.0"
