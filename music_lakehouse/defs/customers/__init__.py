"""Customers, their orders and line items, which land as CSV files."""
