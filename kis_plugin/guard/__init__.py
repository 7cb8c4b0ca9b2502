"""The guard: acts when retention collapses or general loss rises during a run."""
