"""Tokenized texts: every template of every fact as token ids, built once and memory-mapped."""
