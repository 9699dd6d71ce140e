-- The least rights failover-sql needs on PostgreSQL, for a role `failover_app`.
--
-- Apply it as the tables' owner, in the schema that holds them, after they were made: open the store once as the owner (a
-- migration step, say), or run this again afterwards. Nodes then run as `failover_app`, and never make or drop a table.
--
--   CREATE ROLE failover_app LOGIN PASSWORD '...';
--   GRANT CONNECT ON DATABASE app TO failover_app;
--   GRANT USAGE ON SCHEMA public TO failover_app;
--
-- For another table prefix, replace `failover_` before the tables' names.

GRANT SELECT, INSERT, UPDATE, DELETE ON
    failover_clusters, failover_heartbeats, failover_leases, failover_fences, failover_jobs, failover_removed, failover_documents
    TO failover_app;
-- Only an operator who opens with a term floor after a restore writes here: let that be the owner.
GRANT SELECT ON failover_meta TO failover_app;

-- A host's own role that writes under a fence, if it is another one, needs no more than this:
--   GRANT SELECT ON failover_leases, failover_jobs, failover_meta TO host_role;
--   GRANT UPDATE (ends) ON failover_leases TO host_role;      -- for Fence::check, whose row lock asks for it
--   GRANT UPDATE (detail) ON failover_jobs TO host_role;
