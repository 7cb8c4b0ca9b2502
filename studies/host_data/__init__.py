"""Runs on the data pipelines of Megatron-core and OLMo-core, from ``kis write`` to ``kis-predict``."""
