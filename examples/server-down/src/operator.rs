//! What an operator sees: the table of pings by plain SQL, and which server has which job by asking the cluster.

use std::collections::BTreeMap;

use failover::admin::Outlook;
use failover::plan::State;
use failover::time::{Clock as _, SystemClock};
use failover::{Admin, JobId};
use sqlx::SqlitePool;
use stage::{Error, Scene};

use crate::node;

/// Who has pinged when, and whether that is recent enough, judged by the file's clock: the host's boot clock, in nanoseconds.
const PINGS: &str = "
    SELECT node, (?1 - seen) / 1000000 AS age, (?1 - seen) / 1000000 < ?2 AS status
    FROM failover_heartbeats WHERE cluster = ?3 ORDER BY node";

pub(crate) struct Operator {
    pub(crate) admin: Admin,
    pub(crate) sql: SqlitePool,
    pub(crate) scene: Scene,
}

impl Operator {
    /// Shows the table of pings. Each server's status: 1 is alive, 0 is down.
    pub(crate) async fn pings(&self) -> Result<Vec<(String, i64)>, Error> {
        let now = i64::try_from(SystemClock::new().now().as_nanos())?;
        let period = i64::try_from(stage::timing()?.missing().as_millis())?;
        let query = sqlx::query_as(PINGS).bind(now).bind(period).bind(node::cluster()?.to_string());
        let rows: Vec<(String, i64, i64)> = query.fetch_all(&self.sql).await?;
        for (server, age, status) in &rows {
            self.scene.say(&format!("   {server:<8} last ping {age:>5} ms ago   status {status}"));
        }
        Ok(rows.into_iter().map(|(server, _, status)| (server, status)).collect())
    }

    /// Waits until the jobs are where they should be, and tells it. By server, in alphabetical order; `-` has those that wait.
    pub(crate) async fn until(&self, wanted: &[(&str, &str)]) -> Result<(), Error> {
        let wanted: Picture = wanted.iter().map(|(server, jobs)| ((*server).to_owned(), words(jobs))).collect();
        let what = format!("the jobs are at {wanted:?}");
        let matching = async |outlook: &Outlook| Ok(Some(picture(outlook)).filter(|picture| *picture == wanted));
        for (server, jobs) in stage::watch(&self.admin, &what, matching).await? {
            let at = if server == "-" { "nowhere" } else { &server };
            self.scene.say(&format!("   {at:<8} {}", jobs.join(" ")));
        }
        Ok(())
    }

    /// Why a job is where it is.
    pub(crate) async fn why(&self, job: &str) -> Result<(), Error> {
        let explained = self.admin.explain(&JobId::new(job)?, stage::timing()?.missing()).await?;
        self.scene.say(&format!("   {job}: {}", explained.ok_or("there is no such job")?.state));
        Ok(())
    }
}

/// Which jobs each server has, and which wait.
type Picture = BTreeMap<String, Vec<String>>;

fn words(jobs: &str) -> Vec<String> {
    jobs.split_whitespace().map(str::to_owned).collect()
}

fn picture(outlook: &Outlook) -> Picture {
    let mut picture = Picture::new();
    for record in &outlook.status().jobs {
        let at = match outlook.explain(record.spec.id()).map(|explained| explained.state) {
            Some(State::Running { on }) => on.to_string(),
            Some(State::Queued | State::Bound { .. } | State::Held { .. }) => "-".to_owned(),
            // On its way: neither here nor there.
            _ => continue,
        };
        picture.entry(at).or_default().push(record.spec.id().to_string());
    }
    picture
}
