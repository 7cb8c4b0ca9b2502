"""The files of a new project: ``kis init``."""
