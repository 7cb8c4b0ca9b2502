"""Files and text: atomic writes, the cache, memory-mapped arrays, YAML with line numbers, terminal output."""
