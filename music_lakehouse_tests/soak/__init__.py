"""The soak test: `music-lakehouse up` left to run with live, dirty events, while parts are killed and the disk fills.

    python -m music_lakehouse_tests.soak --minutes 60 --rate 500

`schedule` draws the faults, `faults` does them, `watch` looks on, `judgement` says whether everything held, `report`
shows it.
"""
