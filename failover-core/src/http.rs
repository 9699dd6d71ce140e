//! One plain HTTP/1.1 request, bounded: what health questions, checks and actions over HTTP are made of.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::error::Invalid;

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

/// An address that can be asked: `http://host[:port][/path]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    host: String,
    port: u16,
    authority: String,
    path: String,
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Url {
    /// Parses an address. `field` names it in the error.
    pub(crate) fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        // What a user wrote is repeated without what may be a password.
        let shown = text.rsplit_once('@').map_or(text, |(_, after)| after);
        let refuse = |rule: &str| Invalid::new(field, shown, rule);
        let uri: Uri = text.parse().map_err(|_| refuse("it must be `http://host[:port][/path]`"))?;
        if uri.scheme_str() != Some("http") {
            return Err(refuse(
                "it must begin with `http://`: put a proxy that speaks TLS before it if it has to be encrypted",
            ));
        }
        let authority = uri.authority().ok_or_else(|| refuse("it must name a host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("it must not hold a user or a password"));
        }
        if authority.host().is_empty() {
            return Err(refuse("it must name a host"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        Ok(Self { host, port: authority.port_u16().unwrap_or(80), authority: authority.to_string(), path })
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// Asks once, over a connection of its own, and reads at most 64 KiB of the answer. Nothing is followed and nothing repeated. Cancel
/// safe in the sense that dropping the future closes the connection; the server may have acted all the same.
///
/// # Errors
/// What went wrong, in words: no connection, no answer within `patience`, or one that is too long or not HTTP.
pub(crate) async fn ask(method: Method, url: &Url, body: Vec<u8>, patience: Duration) -> Result<Answer, String> {
    let answered = tokio::time::timeout(patience, exchange(method, url, body)).await;
    answered.map_err(|_| format!("no answer within {patience:?}"))?
}

async fn exchange(method: Method, url: &Url, body: Vec<u8>) -> Result<Answer, String> {
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(|e| format!("no connection: {e}"))?;
    stream.set_nodelay(true).map_err(|e| format!("no connection: {e}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| format!("no connection: {e}"))?;
    let request = Request::builder()
        .method(method)
        .uri(url.path.as_str())
        .header(header::HOST, url.authority.as_str())
        .header(header::CONNECTION, "close")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| format!("not a request: {e}"))?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|e| format!("no answer: {e}"))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|e| format!("the answer broke off or is longer than {MAX_ANSWER} bytes: {e}"))?;
        Ok(Answer { status, body: body.to_bytes().to_vec() })
    };
    // The connection has to be driven while the answer is awaited; that it ends first means that the answer is all there is.
    let (answer, _ended) = tokio::join!(exchange, connection);
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn served(answer: &'static str) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /a?b=c HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Held open, so that only a bounded reader comes back.
            std::future::pending::<()>().await;
        });
        Url::parse("url", &format!("http://127.0.0.1:{port}/a?b=c")).unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_its_status_and_its_body() {
        let url = served("HTTP/1.1 503 no\r\ncontent-length: 2\r\n\r\nhi").await;
        let answer = ask(Method::GET, &url, Vec::new(), Duration::from_secs(5)).await;
        assert_eq!(answer, Ok(Answer { status: 503, body: b"hi".to_vec() }));
    }

    #[tokio::test]
    async fn silence_and_nonsense_are_told() {
        let url = served("").await;
        let silent = ask(Method::GET, &url, Vec::new(), Duration::from_millis(100)).await.unwrap_err();
        assert_eq!(silent, "no answer within 100ms");
        let url = served("SSH-2.0-x\r\n\r\n").await;
        let nonsense = ask(Method::GET, &url, Vec::new(), Duration::from_secs(5)).await.unwrap_err();
        assert!(nonsense.starts_with("no answer: "), "{nonsense}");
    }

    #[test]
    fn an_address_that_cannot_be_asked_is_refused_by_field_value_and_rule() {
        let refused = |text| Url::parse("witness", text).unwrap_err().to_string();
        assert!(refused("https://a/").starts_with("witness is `https://a/`: it must begin with `http://`"));
        assert!(
            refused("http://me:secret@a/").contains("must not hold")
                && !refused("http://me:secret@a/").contains("secret")
        );
        assert!(refused("a b").contains("`http://host[:port][/path]`"));
        assert!(refused("/path").contains("must begin with"));
        let url = Url::parse("url", "http://[::1]:81").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.to_string().as_str()), ("::1", 81, "http://[::1]:81/"));
    }
}
