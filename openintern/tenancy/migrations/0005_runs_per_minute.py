from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenancy", "0004_four_eyes"),
    ]

    operations = [
        migrations.AddField(
            model_name="organization",
            name="max_runs_per_minute",
            field=models.PositiveIntegerField(
                default=600,
                help_text="More are refused for a moment; one person may give half of them.",
                verbose_name="tasks a minute",
            ),
        ),
    ]
