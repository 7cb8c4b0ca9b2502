"""Tables for pandas, where it is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kis_plugin.errors import KISError, Problem

if TYPE_CHECKING:
    import pandas

__all__ = ["frame_of"]


def frame_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> pandas.DataFrame:
    """Return rows as a data frame.

    Args:
        rows: Values by column.
        columns: Those to keep, in this order; all by default.

    Raises:
        KISError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise KISError(Problem("to_frame()", "no pandas", "the package pandas", "pip install pandas.")) from error
    return pd.DataFrame(list(rows), columns=None if columns is None else list(columns))
