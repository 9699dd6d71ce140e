-- The least rights of a node's account on MySQL and MariaDB. Replace `app` by the database and 'failover' by the account.
-- Table by table, so that the account sees nothing else in a database it shares. CREATE is for whoever opens the store first:
-- once the tables are there, it can be revoked. With another `prefix`, the tables are called accordingly.
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `app`.`failover_meta` TO 'failover'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `app`.`failover_clusters` TO 'failover'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `app`.`failover_hints` TO 'failover'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `app`.`failover_heartbeats` TO 'failover'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `app`.`failover_leases` TO 'failover'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `app`.`failover_fences` TO 'failover'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `app`.`failover_jobs` TO 'failover'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `app`.`failover_removed` TO 'failover'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON `app`.`failover_documents` TO 'failover'@'%';
-- A host's account that fences its own statements (`Fence`) locks the rows it looks at: SELECT and UPDATE on
-- `failover_leases`, `failover_jobs` and `failover_meta`.
