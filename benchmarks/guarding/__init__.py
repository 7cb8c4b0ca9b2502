"""Real training runs of tiny models, what became of them by questions that the guard never sees, and what it said."""
