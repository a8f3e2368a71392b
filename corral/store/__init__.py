"""Store: commits, change log, leader lease, mirror.

In this room   interface.py says what a store is; memory.py and sqlite.py are stores; mirror.py is what all read from
Comes in       commits from services, controllers and the hub
Goes out       changes, in order, into the mirror of each server
Always true    what a commit may do is decided by ledger.py, the same for every store
Next door      tests/contract/test_store.py: the suite that every store passes
Start here     interface.py, then mirror.py

PostgreSQL goes beside sqlite.py as postgres.py, for several servers on one state, and passes the same suite:
  - the tables are those of migrations/ (the schema is kept portable: no SQLite types or functions in it);
  - a commit locks the one row of `log` (SELECT … FOR UPDATE) before it takes its revisions: so they have no
    gaps and become visible in order; writes and expectations are checked by SQL, as there is no single writer;
  - NOTIFY with the newest revision ends each transaction, LISTEN wakes changes(), which reads the table;
  - `leases` gets `holder` and `until` columns, counted by the database's clock: with SQLite only one process
    at a time has the file, so a lease ends with the process and its number alone is kept.
"""
