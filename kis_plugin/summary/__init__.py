"""What came of a run, for people: a line at each evaluation, a summary at the end, and ``kis show`` for any run log."""
