"""Schemas as data: snapshot, difference, inverse. Plain Python over a psycopg connection; no Django."""
