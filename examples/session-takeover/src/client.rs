//! A client that follows: it knows the addresses of both login servers, nothing else, and logs users in.

use std::time::Duration;

use failover::Endpoint;
use failover::client::Resolver;
use failover::time::Time;
use stage::{Error, PATIENCE};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::door::{Answer, Question, Session, ask};
use crate::journal::now;

/// How many users log in at the same time.
const AT_ONCE: usize = 4;

/// What it was told is done, and when: its own record.
type Accepted = Vec<(Time, Session)>;

pub(crate) struct Client {
    accepted: watch::Receiver<Accepted>,
    _logins: JoinSet<()>,
}

impl Client {
    /// Begins to log users in. `servers` are health endpoints, as in `http://active:80;http://passive:80`.
    pub(crate) fn start(servers: &str) -> Result<Self, Error> {
        let servers = Endpoint::list(servers)?;
        let resolver = Resolver::builder().nodes(servers).poll(Duration::from_millis(100)).start()?;
        let (told, mut logins) = (watch::Sender::new(Accepted::new()), JoinSet::new());
        let accepted = told.subscribe();
        for first in 1..=AT_ONCE {
            let (resolver, told) = (resolver.clone(), told.clone());
            logins.spawn(async move {
                for number in (first..).step_by(AT_ONCE) {
                    let session = log_in(&resolver, &format!("user-{number}")).await;
                    told.send_modify(|all| all.push((now(), session)));
                    sleep(Duration::from_millis(100)).await;
                }
            });
        }
        Ok(Self { accepted, _logins: logins })
    }

    /// The logins that it was told are done, so far.
    pub(crate) fn accepted(&self) -> Vec<Session> {
        self.accepted.borrow().iter().map(|(_, session)| session.clone()).collect()
    }

    /// Waits until this server has let so many further users in.
    pub(crate) async fn more(&self, users: usize, server: &str) -> Result<(), Error> {
        let before = self.accepted.borrow().len();
        let mut accepted = self.accepted.clone();
        let enough = accepted.wait_for(|all| all[before..].iter().filter(|(_, s)| s.server == server).count() >= users);
        tokio::time::timeout(PATIENCE, enough)
            .await
            .map_err(|_| format!("gave up waiting for logins at {server}"))??;
        Ok(())
    }

    /// The longest time since then in which nobody was let in.
    pub(crate) fn pause(&self, since: Time) -> Duration {
        let accepted = self.accepted.borrow();
        let pairs = accepted.windows(2).filter(|pair| pair[1].0 >= since);
        pairs.map(|pair| pair[1].0.since(pair[0].0)).max().unwrap_or_default()
    }
}

/// Asks the active server, whichever that is by now, until it has let the user in.
async fn log_in(resolver: &Resolver, user: &str) -> Session {
    loop {
        let active = resolver.current().and_then(|address| address.endpoint().cloned());
        if let Some(server) = active
            && let Ok(Answer::Welcome(session)) = ask(server.as_str(), &Question::Login(user.to_owned())).await
        {
            return session;
        }
        // Refused, failed or no answer: the server may have done it and may not. To ask again is safe, here and elsewhere.
        sleep(Duration::from_millis(20)).await;
    }
}
