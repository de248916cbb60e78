"""Sites: one YAML file for each cluster or machine. Pure, except that it reads those files."""
