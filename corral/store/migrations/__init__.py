"""Schema of the database, step by step. `alembic -c` is not needed: database.py runs what is missing at open."""
