-- A worker without request budget takes no runs, and looks idle. This says until when.

ALTER TABLE spidra.workers ADD COLUMN paused_until timestamptz(6);

COMMENT ON COLUMN spidra.workers.paused_until IS 'Until when it takes no runs, because its request budget is spent, by the clock of the database. Null: it takes runs, or takes none at all.';
COMMENT ON COLUMN spidra.workers.rate_limit IS 'Requests of a window at its address, as the API last said; where the API says none, as configured. Null: neither is known.';
COMMENT ON COLUMN spidra.workers.rate_remaining IS 'Requests that were left of them; where the API says none, by the requests of this process alone.';
COMMENT ON COLUMN spidra.workers.rate_reset_at IS 'When that window ends. Null: it is not known.';
