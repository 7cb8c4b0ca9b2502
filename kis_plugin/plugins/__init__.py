"""The plugin manager, the hooks, and the session that calls them during a run."""
