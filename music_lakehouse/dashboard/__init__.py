"""The dashboard: what is listened to, and whether the platform is well, seen in a browser. DuckDB on delta-rs, no JVM.

`listening` and `health` ask the lake, `charts` draws, `pages` puts both on the screen, `app` is what Streamlit runs.
"""
