//! The login servers' protocol: a question and its answer, a line of JSON each, one connection for both.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stage::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A user who is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) user: String,
    /// The server that accepted the login, and under which term.
    pub(crate) server: String,
    pub(crate) term: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Question {
    Login(String),
    /// Who is logged in, as far as this server knows.
    Sessions,
    /// How many users work on each terminal server, as far as this server knows.
    Load,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Welcome(Session),
    /// Not here, not now; nothing was done.
    Refused(String),
    /// It may have been done; to ask again is safe.
    Failed(String),
    Sessions(Vec<Session>),
    Load(BTreeMap<String, u32>),
}

/// Answers the one question that comes on a connection.
pub(crate) async fn converse(stream: TcpStream, answer: impl AsyncFnOnce(Question) -> Answer) -> Result<(), Error> {
    let (mut stream, mut line) = (BufReader::new(stream), String::new());
    stream.read_line(&mut line).await?;
    let answer = answer(serde_json::from_str(&line)?).await;
    stream.write_all(format!("{}\n", serde_json::to_string(&answer)?).as_bytes()).await?;
    Ok(())
}

/// Asks the server at an address. An error leaves open whether the question arrived.
pub(crate) async fn ask(address: &str, question: &Question) -> Result<Answer, Error> {
    let asked = async {
        let (mut stream, mut line) = (BufReader::new(TcpStream::connect(address).await?), String::new());
        stream.write_all(format!("{}\n", serde_json::to_string(question)?).as_bytes()).await?;
        stream.read_line(&mut line).await?;
        Ok(serde_json::from_str(&line)?)
    };
    tokio::time::timeout(PATIENCE, asked).await?
}
