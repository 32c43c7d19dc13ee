"""Print macros/clock/is_national_holiday.sql: Brazil's national holidays of the years to come.

They are in a macro and not in a table, because every table that an hour reads is billed. Run it
again (`make holidays`) with a newer `holidays` package when the law changes or the years run out.
"""

from __future__ import annotations

import holidays

YEARS = range(2026, 2046)


def macro() -> str:
    """Return the macro's text."""
    days = sorted(holidays.country_holidays("BR", years=YEARS))
    by_year = [[day for day in days if day.year == year] for year in YEARS]
    lines = [
        "        " + ", ".join(f'"{day.isoformat()[5:]}"' for day in year_days)
        for year_days in by_year
    ]
    years = ",\n".join(
        f'        "{year}": [\n    {line}\n        ]'
        for year, line in zip(YEARS, lines, strict=True)
    )
    return (
        "{% macro is_national_holiday(day) %}\n"
        "    {#- Made by `make holidays` from the package holidays; do not edit. -#}\n"
        "    {%- set days = {\n"
        f"{years}\n"
        "    } -%}\n"
        '    {{ return(day.strftime("%m-%d") in days.get(day.strftime("%Y"), [])) }}\n'
        "{% endmacro %}\n"
    )


if __name__ == "__main__":
    print(macro(), end="")  # noqa: T201 - its output is the file
