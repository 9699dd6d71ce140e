//! A login server, and a terminal server: what services of your own would hold.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failover::gate::Refused;
use failover::machine::JobEnd;
use failover::replica::{Replica, Replicated};
use failover::{
    Admin, Backend, ClusterName, Endpoint, Gate, JobId, JobRun, JobSpec, Node, NodeId, Right, RoleHooks, Timing,
};
use stage::{Error, Scene, timing, until_told_to_leave};
use tokio::net::TcpListener;

use crate::door::{Answer, Question, Session, converse};
use crate::journal;

/// The cluster of the login servers.
pub(crate) const SERVERS: &str = "login";
/// The cluster of the terminal servers.
pub(crate) const FARM: &str = "farm";

/// The store of one of the clusters. Both are in one file, and share nothing.
pub(crate) async fn open(scene: &Scene, cluster: &str) -> Result<Backend, Error> {
    let url = format!("sqlite://{}", scene.file().display());
    Ok(failover::open(&url, &ClusterName::new(cluster)?).await?)
}

/// Runs a login server until it is told to leave by SIGTERM. It lets users in at one address and tells its health at another.
pub(crate) async fn run(name: &str, logins: &str, health: &str, scene: &Scene) -> Result<(), Error> {
    let listener = TcpListener::bind(logins).await?;
    let teller = Teller { name: name.to_owned(), scene: scene.clone() };
    let sessions = Arc::new(Sessions { all: Mutex::default(), teller: teller.clone() });
    // A snapshot every 20 logins, so that this story sees one; in earnest the defaults will do.
    let replica = Replica::builder("sessions", sessions.clone()).snapshot_after(20, 1024 * 1024).build()?;
    let gate = Gate::new(Duration::from_secs(2));
    let node = Node::builder(open(scene, SERVERS).await?, NodeId::new(name)?)
        .timing(timing()?)
        .replica(&replica)
        .endpoint(Endpoint::new(logins)?)
        .health(health.parse()?)
        .hooks(gate.before(teller))
        .start()?;
    let farm = Admin::new(open(scene, FARM).await?);
    let porter = Arc::new(Porter { name: name.to_owned(), gate: gate.clone(), sessions, replica, farm });
    let serve = async {
        loop {
            let ((stream, _), porter) = (listener.accept().await?, porter.clone());
            tokio::spawn(async move { converse(stream, async |question| porter.answer(question).await).await });
        }
    };
    tokio::select! {
        failed = serve => failed,
        failed = journal::record(gate, &scene.directory, name) => failed,
        left = until_told_to_leave(&node) => left,
    }
}

/// Runs a terminal server until it is told to leave by SIGTERM: users work on it, each session a job. Its heartbeats tell how many.
pub(crate) async fn run_desk(name: &str, scene: &Scene) -> Result<(), Error> {
    let node = Node::builder(open(scene, FARM).await?, NodeId::new(name)?)
        .capacity(500)
        .jobs(|run: JobRun| async move {
            run.stop().cancelled().await;
            JobEnd::Stopped
        })
        .start()?;
    until_told_to_leave(&node).await
}

/// Who is logged in: the same on both login servers, because on both it is changed by the same records in the same order.
struct Sessions {
    all: Mutex<BTreeMap<String, Session>>,
    teller: Teller,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Session>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Replicated for Sessions {
    async fn apply(&self, record: &[u8]) -> Result<(), String> {
        let session: Session = serde_json::from_slice(record).map_err(|error| error.to_string())?;
        // A login that is repeated finds the session that the first one began.
        self.lock().entry(session.user.clone()).or_insert(session);
        Ok(())
    }

    async fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&*self.lock()).unwrap_or_else(|_| unreachable!("text and numbers can be written as JSON"))
    }

    async fn restore(&self, snapshot: &[u8]) -> Result<(), String> {
        let all: BTreeMap<String, Session> = serde_json::from_slice(snapshot).map_err(|error| error.to_string())?;
        self.teller.say(&format!("begins with a snapshot of {} sessions", all.len()));
        *self.lock() = all;
        Ok(())
    }
}

/// Lets users in.
struct Porter {
    name: String,
    gate: Gate,
    sessions: Arc<Sessions>,
    replica: Replica,
    farm: Admin,
}

impl Porter {
    async fn answer(&self, question: Question) -> Answer {
        let answer = match question {
            Question::Login(user) => self.login(user).await,
            Question::Sessions => Ok(Answer::Sessions(self.sessions.lock().values().cloned().collect())),
            Question::Load => self.load().await,
        };
        answer.unwrap_or_else(|error| match error.downcast_ref::<Refused>() {
            Some(refused) => Answer::Refused(refused.to_string()),
            None => Answer::Failed(error.to_string()),
        })
    }

    async fn login(&self, user: String) -> Result<Answer, Error> {
        let admission = self.gate.admit()?;
        let term = admission.right().lease().term.0;
        // A hand-over waits until this is done, up to the gate's bound.
        admission.run(self.begin(Session { user, server: self.name.clone(), term })).await?
    }

    /// Begins a session. Safe to repeat, here and on the other server: whatever was left half-way is completed then.
    async fn begin(&self, session: Session) -> Result<Answer, Error> {
        // The token goes along: the store refuses the record of a server that is active no more. Once it is taken in, no takeover loses it.
        self.replica.publisher().publish(serde_json::to_vec(&session)?).await?;
        // A job of the user's name: there is one, however often and by whomever it is submitted.
        self.farm.submit(&JobSpec::new(JobId::new(&session.user)?, "a desktop")?).await?;
        let first = self.sessions.lock().get(&session.user).cloned();
        Ok(Answer::Welcome(first.ok_or("a record that is published is applied")?))
    }

    /// How many users work where, by the terminal servers' own heartbeats, which everybody sees.
    async fn load(&self) -> Result<Answer, Error> {
        let status = self.farm.status(Timing::default().missing()).await?;
        let alive = status.nodes.into_iter().filter(|node| node.alive);
        Ok(Answer::Load(alive.map(|node| (node.node.to_string(), node.load)).collect()))
    }
}

/// Says what becomes of the server.
#[derive(Clone)]
struct Teller {
    name: String,
    scene: Scene,
}

impl Teller {
    fn say(&self, what: &str) {
        self.scene.say(&format!("{}: {what}", self.name));
    }
}

#[async_trait::async_trait]
impl RoleHooks for Teller {
    async fn promote(&self, right: Right) {
        self.say(&format!("lets users in, under {}", right.token()));
    }

    async fn demote(&self) {
        self.say("lets nobody in any more");
    }
}
