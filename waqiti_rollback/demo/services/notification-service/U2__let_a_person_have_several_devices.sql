DROP INDEX idx_devices_user;
ALTER TABLE devices ADD CONSTRAINT devices_user_key UNIQUE (user_id);
