-- Says which list the jobs of an account were read from, so that another key or URL is noticed before anything of its list
-- is stored.

ALTER TABLE spidra.sync_state
  ADD COLUMN api_url            text,
  ADD COLUMN source_fingerprint text;

-- One key opens one list, and a list belongs to one account.
CREATE UNIQUE INDEX sync_state_source_fingerprint_key ON spidra.sync_state (source_fingerprint);

COMMENT ON COLUMN spidra.sync_state.api_url IS 'Base URL of the API that the last run asked.';
COMMENT ON COLUMN spidra.sync_state.source_fingerprint IS 'Half of the SHA-256 of that URL and the key, which cannot be read back. A run with another one checks first that the list holds the stored jobs. Null: no run of a version that checks has begun.';
