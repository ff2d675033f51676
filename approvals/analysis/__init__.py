"""SQL becomes statements with kind, risk, data loss and lock. Plain Python, no Django."""
