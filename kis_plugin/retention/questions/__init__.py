"""The questions of probes: about infused facts, controls and passages, with their answer options."""
