"""The command ``kis``: its commands are what plugins register, KIS's own first. Only results go to stdout."""

from __future__ import annotations

import os
import signal
import sys
import threading
from io import TextIOWrapper
from typing import IO, Any

import click

from kis_plugin import __version__
from kis_plugin.errors import KISError, Problem, nearest
from kis_plugin.escapes import to_stderr
from kis_plugin.storage.terminal import escape_message

__all__ = ["main"]


class _Refusal(click.ClickException):
    """Bad input, shown with the text of its KISError."""

    exit_code = KISError.exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the problems to stderr."""
        to_stderr(f"kis: {self.message}", keep="\n\t")


class _Group(click.Group):
    """The commands that plugins registered; their KISErrors are printed without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(self._registered())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        return self._registered().get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called; a misspelt one is refused with the nearest name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if not args or self.get_command(ctx, args[0]) is not None:
                raise
            names = self.list_commands(ctx)
            raise click.UsageError(f"No such command {args[0]!r}. {nearest(args[0], names)}", ctx) from error

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the arguments; help is shown here, and a plugin that does not load ends it with exit code 2."""
        try:
            return super().make_context(*args, **kwargs)
        except KISError as error:
            raise _Refusal(str(error)) from error
        except click.ClickException as error:
            escape_message(error)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it refuses ends with exit code 2."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except KISError as error:
            raise _Refusal(str(error)) from error
        except click.ClickException as error:
            escape_message(error)
            raise
        except (KeyboardInterrupt, click.Abort):
            to_stderr("kis: interrupted")
            ctx.exit(130)
        except BrokenPipeError:
            _close_stdout()  # the reader of the pipe has closed it
            return None
        except OSError as error:
            if error.filename is not None:
                raise
            _close_stdout()
            expected = "a place to write to"
            raise _Refusal(str(Problem("standard output", str(error.strerror or error), expected))) from error

    def _registered(self) -> dict[str, click.Command]:
        from kis_plugin.registry import registered

        return registered("commands")


def _close_stdout() -> None:
    """Redirect stdout to the null device, so that the interpreter's last flush cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


HELP = """Infuse an exact amount of knowledge into a pretraining run.

\b
kis init my-run          begin a project: kis.yaml, facts, templates, a training script
kis synth people --count 1000 -o facts
                         fictional facts whose information is known
kis demo                 the whole job in small: a sweep and a prediction
kis schema               a JSON Schema of kis.yaml, for your editor
kis check kis.yaml       is the configuration right, and what would be infused?
kis inspect kis.yaml --tokenizer gpt2 --tokens 2B --block 1024
                         what would a run infuse, and where?
kis prepare kis.yaml --tokenizer gpt2 --block 1024
                         prepare large knowledge ahead of a run
kis show runs/RUN_ID     what came of a run?
kis probe --model model --knowledge facts.jsonl
                         what does a saved model know?
kis sweep plan ...       train many small models, to predict from
kis predict --logs runs/ --target 7B
                         how much a large model takes (also: kis-predict)
kis plugins              what is installed, and where did it come from?

\b
Exit codes: 0 done; 1 kis predict found the evidence too weak, and says
what is missing; 2 wrong usage or input, each problem with its place;
130 interrupted.
"""


@click.group(cls=_Group, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kis")
def main() -> None:
    """Let stdout and stderr write names of any script in any locale, and clean up on SIGTERM as on Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # Python would end at once: files that are half written, and runs of a sweep, would stay behind.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        click.get_current_context().call_on_close(lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))


if __name__ == "__main__":
    main(prog_name="kis")
