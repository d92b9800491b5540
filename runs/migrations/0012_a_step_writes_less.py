"""A step wrote 7 kB of WAL, a quarter of it into indexes that nothing asks.

An event, an effect, a checkpoint is found by its run and its number in it, which is unique. Their `id` keeps its sequence
and loses its B-tree; what tells rows apart for replication is the unique index. An event's `id` has an index of block
ranges, which costs next to nothing.

A run's row is changed twice a step. Only where a page has room left are old versions cleared away in time, so that the new
one stays on the page and no index has to hear of it.

A booking doesn't lock its person's row, which all of that person's runs would share: people are never deleted.
"""

import django.contrib.postgres.indexes
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FOUND_BY = {
    "runs_event": "runs_event_seq",
    "runs_effect": "runs_effect_once",
    "runs_checkpoint": "runs_checkpoint_step",
}


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0011_kept_answers"),
        ("tenancy", "0004_four_eyes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        *(
            migrations.RunSQL(
                f"ALTER TABLE {table} REPLICA IDENTITY USING INDEX {unique}, DROP CONSTRAINT {table}_pkey",
                f"ALTER TABLE {table} REPLICA IDENTITY DEFAULT, ADD CONSTRAINT {table}_pkey PRIMARY KEY (id)",
            )
            for table, unique in FOUND_BY.items()
        ),
        migrations.RunSQL("ALTER TABLE runs_run SET (fillfactor = 75)", "ALTER TABLE runs_run RESET (fillfactor)"),
        migrations.RemoveIndex(
            model_name="ledgerentry",
            name="runs_ledger_all",
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="run",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="ledger",
                to="runs.run",
                verbose_name="run",
            ),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="user",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="person",
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=django.contrib.postgres.indexes.BrinIndex(
                autosummarize=True, fields=["id"], name="runs_event_id", pages_per_range=16
            ),
        ),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(fields=["run"], name="runs_ledger_of_run"),
        ),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=django.contrib.postgres.indexes.BrinIndex(
                autosummarize=True, fields=["at"], name="runs_ledger_since"
            ),
        ),
    ]
