from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.amounts import parse_amount, short


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("7B", 7 * 10**9), ("350M", 350 * 10**6), ("1.2e9", 12 * 10**8), ("140b", 14 * 10**10), ("7_0", 70),
        (".5K", 500), ("5 K", 5000), (" 5k ", 5000), ("2T", 2 * 10**12), ("1G", 10**9), ("0.123456789B", 123_456_789),
        ("7", 7), (20_000, 20_000), (1e9, 10**9), ("1.e3", 1000),
    ],
)  # fmt: skip
def test_amounts_as_people_write_them(written, value):
    assert parse_amount(written) == value


@pytest.mark.parametrize(
    "written",
    [
        "",
        "B",
        "7X",
        "-3",
        "0",
        "nan",
        "inf",
        "1e400",
        "7 B B",
        "٣",
        "0.5",
        0.5,
        True,
        None,
        float("nan"),
        2**63,
        "9" * 99,
    ],
)
def test_anything_else_is_no_amount(written):
    with pytest.raises(ValueError, match="an amount such as 7B"):
        parse_amount(written)


def test_zero_is_an_amount_where_it_is_allowed():
    assert parse_amount("0", least=0) == 0


@given(st.text(max_size=80) | st.from_regex(r"[\d_.]{1,20}e?[+-]?\d{0,4} ?[kKmMbBgGtT]?", fullmatch=True))
def test_any_text_is_an_amount_or_a_value_error(text):
    with suppress(ValueError):
        assert 1 <= parse_amount(text) < 2**63


@given(st.integers(1, 10**12), st.sampled_from([("", 0), ("k", 3), ("M", 6), ("B", 9), ("e3", 3), (" G", 9)]))
def test_an_amount_with_a_unit_loses_no_digit(value, unit):
    letters, digits = unit
    written = f"{Decimal(value).scaleb(-digits):f}{letters}"
    assert parse_amount(written) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(7e9, "7B"), (1066112, "1.07M"), (999.6e6, "1B"), (12345, "12.3K"), (1234, "1,234"), (0.012, "0.012"),
     (99.96, "100")],
)  # fmt: skip
def test_short_keeps_three_digits(value, text):
    assert short(value) == text


@given(st.integers(1, 9 * 10**14))
def test_short_is_read_back_within_its_three_digits(value):
    assert parse_amount(short(value).replace(",", "")) == pytest.approx(value, rel=0.006)
