"""What Flyway does, precisely, as plain Python: names, versions, checksums, history, placeholders."""
