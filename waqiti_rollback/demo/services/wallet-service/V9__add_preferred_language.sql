-- The language of messages; empty means English.
ALTER TABLE users ADD COLUMN preferred_language varchar(8);
