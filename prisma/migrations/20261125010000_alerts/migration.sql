-- What the service alerts about. The state is kept here, so that neither a restart nor a second worker tells it again.

CREATE TABLE spidra.alerts (
  account       text           NOT NULL,
  kind          text           NOT NULL,
  state         text           NOT NULL,
  since         timestamptz(6) NOT NULL,
  summary       text           NOT NULL,
  details       jsonb          NOT NULL,
  told_state    text           NOT NULL DEFAULT 'resolved',
  told_at       timestamptz(6),
  claimed_by    text,
  claimed_until timestamptz(6),
  CONSTRAINT alerts_pkey PRIMARY KEY (account, kind)
);

COMMENT ON TABLE spidra.alerts IS 'One row for each account and kind of alert that has fired at least once.';
COMMENT ON COLUMN spidra.alerts.account IS 'Spidra account, by its name in the configuration.';
COMMENT ON COLUMN spidra.alerts.kind IS 'What is wrong: runs_failing, key_refused, run_partial, stale, stuck_jobs or rejections.';
COMMENT ON COLUMN spidra.alerts.state IS 'firing: it is wrong. resolved: it no longer is.';
COMMENT ON COLUMN spidra.alerts.since IS 'When the service noticed that the state changed.';
COMMENT ON COLUMN spidra.alerts.summary IS 'The state in words, as of that moment.';
COMMENT ON COLUMN spidra.alerts.details IS 'The numbers and names behind the words.';
COMMENT ON COLUMN spidra.alerts.told_state IS 'State that ALERT_WEBHOOK_URL was last told of; where it differs from the state, a message is due.';
COMMENT ON COLUMN spidra.alerts.told_at IS 'When it was told. Null: never.';
COMMENT ON COLUMN spidra.alerts.claimed_by IS 'Worker that is sending the message that is due, as host:pid. Null: nobody is.';
COMMENT ON COLUMN spidra.alerts.claimed_until IS 'When that worker counts as dead, and another may send the message. Null: nobody is sending it.';
