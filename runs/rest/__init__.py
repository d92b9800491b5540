"""The REST API: views that make one call into the domain, and the forms of what goes in and out."""
