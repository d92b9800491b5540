"""What `manage.py up` does beside its arguments: the parts it starts, the first organisation, what it says."""
