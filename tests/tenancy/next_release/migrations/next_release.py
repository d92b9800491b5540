from pathlib import Path

from django.db import migrations, models

from runs import migrations as todays

NEWEST = max(path.stem for path in Path(todays.__path__[0]).glob("[0-9]*.py"))


class Migration(migrations.Migration):
    dependencies = [("runs", NEWEST)]
    operations = [
        migrations.AddField("run", "mood", models.CharField(max_length=20, default="calm")),
        migrations.AddIndex("run", models.Index(fields=["mood"], name="runs_run_mood")),
    ]
