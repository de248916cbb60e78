"""Job files: a YAML file becomes jobs. Nothing is submitted here."""
