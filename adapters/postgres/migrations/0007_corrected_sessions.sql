-- A recomputation found that the session should not have been.
ALTER TABLE sessions ADD COLUMN withdrawn boolean NOT NULL DEFAULT false;
