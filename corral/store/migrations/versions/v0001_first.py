"""Resources, their change log, and the leader leases."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "resources",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),  # JSON, as model/resource.py encodes it
        sa.UniqueConstraint("kind", "project", "name", name="resources_name"),
    )
    op.create_table(
        "changes",
        sa.Column("revision", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    log = op.create_table(  # one row: where the change log is, also when no change is kept
        "log",
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(log, [{"revision": 0}])
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),  # the fencing number; grows with each leader
    )
