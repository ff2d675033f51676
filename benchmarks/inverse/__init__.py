"""How well the generated ways back do on real migrations: chains, runs, tables of results."""
