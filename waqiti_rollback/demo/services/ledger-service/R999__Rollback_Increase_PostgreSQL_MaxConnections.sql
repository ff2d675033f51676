-- Left behind by a generator script: Flyway skips a file of this name, and U999 is the real one.
ROLLBACK;
