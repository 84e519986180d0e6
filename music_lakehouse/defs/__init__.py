"""The tables, one folder a source system."""
