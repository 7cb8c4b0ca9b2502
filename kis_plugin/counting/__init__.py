"""``kis count``: how often a corpus mentions each fact."""
