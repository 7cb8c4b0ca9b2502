"""What the soak does: kills processes, damages files, and compares what is left with what must be there."""
