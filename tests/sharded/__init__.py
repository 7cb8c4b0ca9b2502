"""Runs whose model is split between processes, on gloo and without a GPU."""
