"""Where jobs go: one YAML file per site. Pure but for reading those files."""
