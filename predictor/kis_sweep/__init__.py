"""Sweeps: which small models to train at which infusion frequencies, training them, and choosing the next ones."""
