"""Text that is shown live is worth no WAL: a crash of the database may lose it."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("runs", "0002_initial")]
    operations = [migrations.RunSQL("ALTER TABLE runs_livetext SET UNLOGGED", "ALTER TABLE runs_livetext SET LOGGED")]
