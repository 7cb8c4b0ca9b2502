"""A training run: what a host describes, who takes part, and its log."""
