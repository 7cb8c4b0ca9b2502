"""Tokenized texts: every fact in each of its templates as token ids, built once and memory-mapped."""
