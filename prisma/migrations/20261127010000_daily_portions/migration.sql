-- The stale days of an account are computed in portions, so that no statement takes longer than a role's statement_timeout.
DROP FUNCTION spidra.keep_stale_days(text);

/* Computes the oldest stale days of an account anew. The marks are locked first, by a statement of its own: the next one then
   sees all jobs of those that held them before. */
CREATE FUNCTION spidra.keep_stale_days(of_account text, at_most integer DEFAULT NULL) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  days date[];
BEGIN
  SELECT array_agg(l.day) INTO days
  FROM (SELECT s.day FROM spidra.stale_days s WHERE s.account = of_account ORDER BY s.day LIMIT at_most FOR UPDATE) l;
  IF days IS NULL THEN
    RETURN 0;
  END IF;
  DELETE FROM spidra.daily_totals t WHERE t.account = of_account AND t.day = ANY (days);
  INSERT INTO spidra.daily_totals (account, day, scraping_channel, output_format, jobs, succeeded_jobs,
    partly_failed_jobs, failed_jobs, cancelled_jobs, open_jobs, urls, completed_urls, failed_urls,
    p50_duration_seconds, p95_duration_seconds, max_duration_seconds)
  SELECT t.account, t.day, t.scraping_channel, t.output_format, t.jobs, t.succeeded_jobs, t.partly_failed_jobs,
    t.failed_jobs, t.cancelled_jobs, t.open_jobs, t.urls, t.completed_urls, t.failed_urls, t.p50_duration_seconds,
    t.p95_duration_seconds, t.max_duration_seconds
  FROM spidra.stale_totals t WHERE t.account = of_account AND t.day = ANY (days);
  DELETE FROM spidra.stale_days s WHERE s.account = of_account AND s.day = ANY (days);
  RETURN cardinality(days);
END
$$;
COMMENT ON FUNCTION spidra.keep_stale_days IS 'Writes daily_totals anew for at most so many stale days of an account, oldest first, and returns their number. Default: all.';
