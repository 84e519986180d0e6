"""The building blocks of a lakehouse; they know nothing of music."""
