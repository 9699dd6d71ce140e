//! One connection to the server: TCP, so that nothing is cut short and nobody in between can guess.

use domain::base::Message;
use domain::base::message_builder::AdditionalBuilder;
use domain::rdata::tsig::Time48;
use domain::tsig::{ClientTransaction, Key, ValidationError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{DnsError, TsigKey};
use crate::client::Endpoint;

pub(super) struct Connection<'a> {
    stream: TcpStream,
    key: Option<&'a TsigKey>,
    id: u16,
}

impl<'a> Connection<'a> {
    pub(super) async fn open(server: &Endpoint, key: Option<&'a TsigKey>) -> Result<Self, DnsError> {
        let at = (server.host(), server.port().unwrap_or(53));
        let stream = TcpStream::connect(at).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        Ok(Self { stream, key, id: 0 })
    }

    /// Asks, and reads an answer that is signed as the question was. The caller has the deadline.
    pub(super) async fn ask(&mut self, mut question: AdditionalBuilder<Vec<u8>>) -> Result<Message<Vec<u8>>, DnsError> {
        self.id = self.id.wrapping_add(1);
        question.header_mut().set_id(self.id);
        let signed = match self.key {
            Some(TsigKey(key)) => {
                let request = ClientTransaction::request(&**key, &mut question, Time48::now());
                Some(request.map_err(|_| DnsError::Key("the signature does not fit".to_owned()))?)
            }
            None => None,
        };
        let question = question.finish();
        let length = u16::try_from(question.len()).map_err(|_| unreachable("the question is too long"))?;
        self.stream.write_all(&[&length.to_be_bytes()[..], &question].concat()).await.map_err(unreachable)?;

        let length = self.stream.read_u16().await.map_err(unreachable)?;
        let mut answer = vec![0; usize::from(length)];
        self.stream.read_exact(&mut answer).await.map_err(unreachable)?;
        let mut answer = Message::from_octets(answer).map_err(|_| unreachable("its answer cannot be read"))?;
        if answer.header().id() != self.id || !answer.header().qr() {
            return Err(unreachable("it answered something else"));
        }
        if let Some(signed) = signed {
            verify(&signed, &mut answer)?;
        }
        Ok(answer)
    }
}

fn verify(signed: &ClientTransaction<&Key>, answer: &mut Message<Vec<u8>>) -> Result<(), DnsError> {
    let rcode = answer.header().rcode();
    signed.answer(answer, Time48::now()).map_err(|error| match error {
        ValidationError::ServerUnsigned => DnsError::Key(format!("its answer, {rcode}, is not signed")),
        other => DnsError::Key(other.to_string()),
    })
}

fn unreachable(error: impl std::fmt::Display) -> DnsError {
    DnsError::Unreachable(error.to_string())
}
