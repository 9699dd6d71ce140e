//! The schema: idempotent statements of our own and a version row under the table prefix.
//!
//! Never a migration table: a host's own migrations live in the same database, and neither may lock or renumber the other.

use crate::keys::{TablePrefix, render_tables};

/// The schema this build makes, and the newest it works with.
pub(crate) const VERSION: u64 = 1;

/// The tables of a `PostgreSQL` store: all but the hints, which are notifications there.
#[cfg(feature = "postgres")]
pub(crate) const POSTGRES_TABLES: &[&str] =
    &["meta", "clusters", "heartbeats", "leases", "fences", "jobs", "removed", "documents"];

/// The statements that make the tables where they are missing.
pub(crate) fn statements(schema: &str, prefix: &TablePrefix) -> Vec<String> {
    let lines: Vec<&str> = schema.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let statements = render_tables(prefix, &lines.join("\n"));
    statements.split(';').map(str::trim).filter(|sql| !sql.is_empty()).map(str::to_owned).collect()
}

/// What to say of a schema that is newer.
pub(crate) fn too_new(found: u64, prefix: &TablePrefix) -> String {
    format!(
        "the tables `{prefix}*` have schema version {found}, this build knows up to {VERSION}: upgrade this node; \
         nothing was changed"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::TABLES;

    #[cfg(feature = "postgres")]
    #[test]
    fn every_postgres_table_is_made_under_its_prefix() {
        let all = statements(include_str!("schema/postgres.sql"), &TablePrefix::new("my_").unwrap());
        for table in POSTGRES_TABLES {
            let head = format!("CREATE TABLE IF NOT EXISTS my_{table} (");
            assert_eq!(all.iter().filter(|sql| sql.starts_with(&head)).count(), 1, "{table}");
        }
        assert!(all.iter().all(|sql| !sql.contains(['{', '}']) && sql.contains("IF NOT EXISTS my_")));
    }

    #[test]
    fn every_table_is_made_under_its_prefix_and_nothing_is_left_open() {
        for schema in [include_str!("schema/sqlite.sql"), include_str!("schema/mysql.sql")] {
            check(schema);
        }
    }

    fn check(schema: &str) {
        let prefix = TablePrefix::new("my_").unwrap();
        let all = statements(schema, &prefix);
        for table in TABLES {
            let head = format!("CREATE TABLE IF NOT EXISTS my_{table} (");
            assert_eq!(all.iter().filter(|sql| sql.starts_with(&head)).count(), 1, "{table}");
        }
        for sql in &all {
            assert!(!sql.contains(['{', '}']), "{sql}");
            assert!(sql.contains("IF NOT EXISTS my_"), "{sql}");
        }
    }
}
