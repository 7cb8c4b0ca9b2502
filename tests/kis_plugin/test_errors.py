from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin import KISError, Problem
from kis_plugin.errors import nearest
from tests.world.processes import environment


def test_a_problem_is_one_line():
    assert (
        str(Problem("kis.yaml:4 seed", "-1", "a whole number")) == "kis.yaml:4 seed: found -1, expected a whole number"
    )
    assert str(Problem("a", "b", "c", "Do d.")) == "a: found b, expected c. Do d."


def test_several_problems_are_numbered():
    one, two = Problem("a", "b", "c"), Problem("d", "e", "f")
    assert str(KISError(one)) == "a: found b, expected c"
    assert str(KISError([one, two])) == "2 problems:\n  a: found b, expected c\n  d: found e, expected f"
    assert KISError(iter([one, two])).problems == (one, two)


def test_an_error_crosses_process_borders():
    error = KISError([Problem("a", "b", "c"), Problem("d", "e", "f", "g")])
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def test_bad_input_ends_a_command_with_2():
    assert KISError.exit_code == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("frequncy", "Did you mean 'frequency'?"),
        ("zzz", "Valid names: frequency, share."),
        (3, "Valid names: frequency, share."),
    ],
)
def test_the_nearest_name(name, said):
    assert nearest(name, ["frequency", "share"]) == said


@given(st.text(min_size=1), st.lists(st.text(min_size=1)))
def test_a_name_that_is_valid_is_nearest_to_itself(name, others):
    assert nearest(name, [*others, name]) == f"Did you mean {name!r}?"


def test_a_worker_process_hands_the_text_on():
    error = KISError(Problem("train_dataset", "a row of 63 tokens", "64 tokens in every row"))
    assert str(KISError(f"Caught KISError in DataLoader worker process 0.\n{error}")).endswith(str(error))


HOOK = """
from kis_plugin.errors import KISError, Problem, show_uncaught
show_uncaught()
show_uncaught()
raise {}
"""


@pytest.mark.parametrize(
    ("error", "code", "last"),
    [
        ("KISError(Problem('kis.yaml', '1', '2'))", 2, "kis: error: kis.yaml: found 1, expected 2"),
        ("ValueError('another')", 1, "ValueError: another"),
    ],
)
def test_a_script_that_is_refused_ends_with_the_message_alone(error, code, last):
    done = subprocess.run([sys.executable, "-c", HOOK.format(error)], capture_output=True, text=True, env=environment())
    lines = done.stderr.splitlines()
    assert (done.returncode, lines[-1]) == (code, last)
    assert (len(lines) == 1) == (code == 2)
