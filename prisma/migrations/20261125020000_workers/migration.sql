-- The workers of a fleet, for `status`, metrics and people: nothing is decided on it.

CREATE TABLE spidra.workers (
  worker           text           NOT NULL,
  role             text           NOT NULL,
  source_address   text,
  runs_in_parallel integer        NOT NULL,
  running          integer        NOT NULL DEFAULT 0,
  rate_limit       integer,
  rate_remaining   integer,
  rate_reset_at    timestamptz(6),
  started_at       timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  seen_at          timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  CONSTRAINT workers_pkey PRIMARY KEY (worker)
);

COMMENT ON TABLE spidra.workers IS 'One row for each process of a fleet. A row whose seen_at is more than a minute old is of a process that is gone or stopped.';
COMMENT ON COLUMN spidra.workers.worker IS 'The process, as host:pid.';
COMMENT ON COLUMN spidra.workers.role IS 'What it does: scheduler, worker, or both.';
COMMENT ON COLUMN spidra.workers.source_address IS 'Address that its requests come from, as configured. Null: whichever the machine takes.';
COMMENT ON COLUMN spidra.workers.runs_in_parallel IS 'Runs that it takes at a time.';
COMMENT ON COLUMN spidra.workers.running IS 'Runs that it had under way at seen_at.';
COMMENT ON COLUMN spidra.workers.rate_limit IS 'Requests of a window at its address, as the API last said. Null: it never did.';
COMMENT ON COLUMN spidra.workers.rate_remaining IS 'Requests that were left of them.';
COMMENT ON COLUMN spidra.workers.rate_reset_at IS 'When that window ends. Null: the API did not say.';
COMMENT ON COLUMN spidra.workers.started_at IS 'When the process started, by the clock of the database.';
COMMENT ON COLUMN spidra.workers.seen_at IS 'Its last sign of life, by the clock of the database.';
