-- Messages go to every device of a person.
ALTER TABLE devices DROP CONSTRAINT devices_user_key;
CREATE INDEX idx_devices_user ON devices (user_id);
