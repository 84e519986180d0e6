"""Customers, their orders and line items: TPC-H, cut into CSV files that land one after another."""
