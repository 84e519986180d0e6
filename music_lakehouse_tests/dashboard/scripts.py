"""Pages as scripts that Streamlit's AppTest runs: it takes their source, so that they import what they need."""

from __future__ import annotations


def listening_script(state: str | None = None) -> None:
    from music_lakehouse.dashboard.pages import listening_page

    listening_page(state)


def health_script() -> None:
    from music_lakehouse.dashboard.pages import health_page

    health_page()
