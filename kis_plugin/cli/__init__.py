"""The ``kis`` command and its built-in subcommands."""
