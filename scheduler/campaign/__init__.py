"""Job files: a YAML file becomes jobs. Nothing is run or sent here."""
