//! The question to the nodes themselves: which of you is active?

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::Method;

use crate::client::{Address, Endpoint};
use crate::error::Invalid;
use crate::http::{self, Url};

/// Whom to ask, and under which address.
pub(super) struct Nodes(Vec<(Endpoint, Url)>);

impl Nodes {
    pub(super) fn new(nodes: &[Endpoint]) -> Result<Self, Invalid> {
        Endpoint::check_list(nodes)?;
        let question = |node: &Endpoint| {
            if node.path().contains('?') {
                return Err(Invalid::new("nodes", node, "it must not have a query: `/active` is added to it"));
            }
            let url = Url::parse("nodes", &format!("{}/active", node.as_str().trim_end_matches('/')));
            let url = url.map_err(|broken| Invalid::new("nodes", node, broken.rule))?;
            Ok((node.clone(), url))
        };
        nodes.iter().map(question).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Asks all of them at the same time. Of those who say that they are active, the one with the highest term; else what each said.
    pub(super) async fn ask(&self, patience: Duration) -> Result<Address, String> {
        let mut asked: FuturesUnordered<_> = self.0.iter().map(|(node, url)| ask_one(node, url, patience)).collect();
        let (mut found, mut said) = (None::<Address>, Vec::new());
        while found.is_none()
            && let Some(answer) = asked.next().await
        {
            match answer {
                Ok(address) => found = Some(address),
                Err(why) => said.push(why),
            }
        }
        // One that was active until just now may answer first. The others get a moment to contradict; whoever is dead costs no more.
        let contradict = async {
            while let Some(answer) = asked.next().await {
                found = answer.into_iter().chain(found.take()).max_by_key(|address| address.term);
            }
        };
        let _either_way = tokio::time::timeout(patience / 10, contradict).await;
        found.ok_or_else(|| said.join("; "))
    }
}

async fn ask_one(node: &Endpoint, url: &Url, patience: Duration) -> Result<Address, String> {
    let answer = http::ask(Method::GET, url, Vec::new(), patience).await.map_err(|error| format!("{node}: {error}"))?;
    if answer.status != 200 {
        return Err(format!("{node}: not active ({})", answer.status));
    }
    let mut address = Address::decode(&answer.body).map_err(|error| format!("{node}: {error}"))?;
    if address.endpoints.is_empty() {
        // It was given none, and yet it can be reached: here.
        address.endpoints.push(node.clone());
    }
    Ok(address)
}
