-- The versions of the secrets that an app ran with, as JSON by their references; never a value.
ALTER TABLE rollouts ADD COLUMN secrets TEXT;
