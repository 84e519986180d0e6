"""The operational SQL database: users, artists, tracks, dates and streams, loaded by watermark."""
