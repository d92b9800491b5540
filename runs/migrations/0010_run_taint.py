from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0009_budgets_limit_something")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="taint",
            field=models.JSONField(
                help_text="where the first text from outside in its context came from",
                null=True,
                verbose_name="text from outside",
            ),
        ),
    ]
