"""The REST API of roles and skills."""
