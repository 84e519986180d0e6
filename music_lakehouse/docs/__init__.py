"""The pages of `docs/` that the declarations give: what tables there are, and which columns come from which."""
