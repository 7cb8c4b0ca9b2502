"""Files and text: the artifact cache, memory-mapped arrays, YAML with line numbers, terminal output."""
