"""The small facts of the test runs, and plain counts of them: those that ``kis_plugin.testing`` gives to everyone."""

from kis_plugin.testing.small_knowledge import FACTS, WORDS, controls_shown, people, shown, small_config, write_facts

kis = small_config

__all__ = ["FACTS", "WORDS", "controls_shown", "kis", "people", "shown", "small_config", "write_facts"]
