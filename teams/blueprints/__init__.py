"""Teams as documents: one format for export, import and the templates that are shipped."""
