"""Readers of knowledge files: one module for each format. Plugins register others."""
