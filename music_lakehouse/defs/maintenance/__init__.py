"""The upkeep of all tables of the lake, whatever they are about."""
