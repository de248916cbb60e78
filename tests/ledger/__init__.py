"""The SQLite file: rows, migrations, attempts, queue slots."""
