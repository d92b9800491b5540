"""A budget without any limit passed the check: `NULL >= 0` is neither true nor false. Those that did bound nobody."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0008_approvals")]

    operations = [
        migrations.RunSQL(
            "DELETE FROM runs_budget WHERE limit_usd IS NULL AND limit_tokens IS NULL",
            reverse_sql=migrations.RunSQL.noop,
        ),
        migrations.RemoveConstraint(model_name="budget", name="runs_budget_limits_something"),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("limit_usd__gte", 0), ("limit_usd__isnull", False)),
                    models.Q(("limit_tokens__isnull", False), ("limit_usd", None)),
                    _connector="OR",
                ),
                name="runs_budget_limits_something",
                violation_error_message="Set a limit in USD (0 or more), in tokens, or both.",
            ),
        ),
    ]
