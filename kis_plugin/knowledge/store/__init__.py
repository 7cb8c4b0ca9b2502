"""Large knowledge in the cache: written as columns once, then memory-mapped."""
