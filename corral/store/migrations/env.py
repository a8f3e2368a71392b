"""Alembic's way in: runs the missing steps on the connection that database.py hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transactional_ddl=True)
with context.begin_transaction():  # all steps or none, a kill -9 in between included
    context.run_migrations()
