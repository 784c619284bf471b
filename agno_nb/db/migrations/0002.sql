-- The model that the server says it used, next to the requested one.
ALTER TABLE raw_runs ADD COLUMN served_model TEXT;
