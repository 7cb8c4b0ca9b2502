"""TensorBoard draws retention and chance in one chart, whatever else logs beside it."""

from __future__ import annotations

from kis_torch.host_log import add_chart


class Writer:
    def __init__(self):
        self.layouts = []

    def add_custom_scalars(self, layout):
        self.layouts.append(layout)


def test_one_chart_has_the_series_that_are_logged_and_chance():
    writer = Writer()
    names = ["retention/seen", "retention/general_loss", "retention/held_out", "retention/chance"]
    add_chart([None, object(), writer], names, "train/")
    tags = ["train/retention/held_out", "train/retention/seen", "train/retention/chance"]
    assert writer.layouts == [{"retention": {"retention and chance": ["Multiline", tags]}}]


def test_without_any_of_them_there_is_no_chart():
    writer = Writer()
    add_chart([writer], ["retention/general_loss"])
    assert writer.layouts == []
