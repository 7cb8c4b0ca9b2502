from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_predict.amounts import parse_amount, short


@pytest.mark.parametrize(
    ("text", "value"),
    [("7B", 7 * 10**9), ("350M", 350 * 10**6), ("1.2e9", 12 * 10**8), ("140b", 14 * 10**10), ("7_0", 70), (".5K", 500)],
)
def test_amounts_as_people_write_them(text, value):
    assert parse_amount(text) == value


@pytest.mark.parametrize("text", ["", "B", "7X", "-3", "0", "nan", "inf", "1e400", "7 B B", "٣"])
def test_other_text_is_no_amount(text):
    with pytest.raises(ValueError, match="an amount"):
        parse_amount(text)


@given(st.text(max_size=20))
def test_any_text_is_an_amount_or_a_value_error(text):
    with suppress(ValueError):
        assert parse_amount(text) >= 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7e9, "7B"),
        (1066112, "1.07M"),
        (999.6e6, "1B"),
        (12345, "12.3K"),
        (1234, "1,234"),
        (0.012, "0.012"),
        (99.96, "100"),
    ],
)
def test_short_keeps_three_digits(value, text):
    assert short(value) == text


@given(st.floats(min_value=1, max_value=9e14))
def test_short_is_read_back_within_its_three_digits(value):
    assert parse_amount(short(value).replace(",", "")) == pytest.approx(value, rel=0.006, abs=0.5)
