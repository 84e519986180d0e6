"""What Streamlit runs for the dashboard; an argument names the state that is chosen at first."""

from __future__ import annotations

import sys

import streamlit as st

from music_lakehouse.dashboard.pages import health_page, listening_page

STATE = sys.argv[1] if len(sys.argv) > 1 else None


def listening() -> None:
    """The page "Listening", with the state that was asked for."""
    listening_page(STATE)


st.set_page_config(page_title="music-lakehouse", layout="wide")
st.navigation(
    [
        st.Page(listening, title="Listening", url_path="listening", default=True),
        st.Page(health_page, title="Is it well?", url_path="health"),
    ]
).run()
