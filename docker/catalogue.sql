-- Run once by PostgreSQL's container, when its volume is new: the catalogue's database beside Dagster's.
CREATE DATABASE catalogue;
