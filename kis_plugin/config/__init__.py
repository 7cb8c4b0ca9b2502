"""``kis.yaml``: its schema, its validation, and the choices that plugins register."""
