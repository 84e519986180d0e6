"""Heart rates of invented people, as JSON files that land, and the table that says who they are."""
