"""The vector extension for every organisation, and an audit that can only grow."""

from django.db import migrations
from pgvector.django import VectorExtension

REFUSE = """
CREATE FUNCTION tenancy_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only';
END $$;
CREATE TRIGGER tenancy_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenancy_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION tenancy_audit_is_append_only();
"""
ALLOW = """
DROP TRIGGER tenancy_audit_append_only ON tenancy_auditentry;
DROP FUNCTION tenancy_audit_is_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0001_initial")]
    operations = [VectorExtension(), migrations.RunSQL(REFUSE, ALLOW)]
