"""Dates as files write them: ISO, 2024/1/5, 2024年1月5日, 05.01.2024, with or without a time."""

from __future__ import annotations

import re

import pandas as pd

from kasa.data.normalise import normalised_column

# 24/01/05, as Japanese systems write it; in 05/01/2024 the year stands last.
SHORT_YEAR = re.compile(r"^(\d{2})[/-](\d{1,2})[/-](\d{1,2})(?!\d)")
YEAR_LAST = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(.*)")


def parsed_dates(cells: pd.Series) -> pd.Series:
    """Return each cell as a timestamp without zone; NaT for what is no date.

    Day and month are told apart where a value above 12 shows it; otherwise 01/02/2024 counts the
    month first, and 01.02.2024 the day.
    """
    plain = normalised_column(cells, ("width", "whitespace"))
    plain = plain.str.replace(r"(\d)\s*年\s*", r"\1-", regex=True)
    plain = plain.str.replace(r"(\d)\s*月\s*", r"\1-", regex=True)
    plain = plain.str.replace(r"(\d)\s*日", r"\1", regex=True).str.replace(r"-\s*$", "", regex=True)
    plain = plain.str.replace(r"\s*[(（][月火水木金土日][)）]", "", regex=True)
    plain = plain.str.replace(SHORT_YEAR, r"20\1-\2-\3", regex=True)
    plain = plain.str.replace(r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})", r"\1-\2-\3", regex=True)
    late = plain.str.extract(YEAR_LAST)
    if late[0].notna().any():
        first, second = (pd.to_numeric(late[part]) for part in (0, 1))
        dotted = plain.str.contains(r"^\d{1,2}\.", regex=True)
        day_first = bool((first > 12).any()) or (
            bool(dotted.any()) and not bool((second > 12).any())
        )
        month, day = (late[1], late[0]) if day_first else (late[0], late[1])
        iso = late[2] + "-" + month + "-" + day + late[3].fillna("")
        plain = plain.where(late[0].isna(), iso)
    # The clock on the wall orders rows; zones would move some to the day before.
    local = plain.str.replace(r"(:\d{2}(\.\d+)?)\s*(Z|[+-]\d{2}:?\d{2})$", r"\1", regex=True)
    # "10:30" and "may" would be read as some day of some year.
    dated = local.where(local.str.contains(r"^\d{4}-\d{1,2}(?:-|$)", regex=True), "")
    return pd.to_datetime(dated, errors="coerce", format="mixed")
