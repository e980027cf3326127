-- Creates the role that Grafana reads with: it reads the views of spidra_reporting, and nothing else. Run it with psql as
-- the role of spidra-sync or as an administrator: psql -v password=... -f reader.sql. It works before and after the first
-- migration, and can be repeated.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'spidra_grafana') THEN
    CREATE ROLE spidra_grafana;
  END IF;
  IF to_regnamespace('spidra_reporting') IS NULL THEN
    CREATE SCHEMA spidra_reporting;
  END IF;
END
$$;
-- A chart that needs longer than 30 seconds is cut off.
ALTER ROLE spidra_grafana LOGIN PASSWORD :'password';
ALTER ROLE spidra_grafana SET default_transaction_read_only = on;
ALTER ROLE spidra_grafana SET statement_timeout = '30s';

GRANT USAGE ON SCHEMA spidra_reporting TO spidra_grafana;
GRANT SELECT ON ALL TABLES IN SCHEMA spidra_reporting TO spidra_grafana;
ALTER DEFAULT PRIVILEGES IN SCHEMA spidra_reporting GRANT SELECT ON TABLES TO spidra_grafana;
