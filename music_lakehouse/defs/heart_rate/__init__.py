"""Heart rates that land as JSON files, and the people whose they are."""
