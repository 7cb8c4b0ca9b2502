"""The questions of probes: what is asked of infused facts, controls and passages, with which options."""
