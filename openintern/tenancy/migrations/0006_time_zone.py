from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0005_runs_per_minute")]

    operations = [
        migrations.AddField(
            model_name="organization",
            name="time_zone",
            field=models.CharField(
                db_default="UTC",
                default="UTC",
                help_text="Schedules go by it that have none of their own.",
                max_length=60,
                verbose_name="time zone",
            ),
        ),
    ]
