//! Scripts' answers: flat lists of text.

use failover_core::{Error, ErrorKind, Result};
use redis::Value;

/// What a script answered, to be taken from the front.
#[derive(Debug)]
pub(crate) struct Reply {
    operation: &'static str,
    values: std::vec::IntoIter<Value>,
}

impl Reply {
    pub(crate) fn new(operation: &'static str, value: Value) -> Result<Self> {
        match value {
            Value::Array(values) => Ok(Self { operation, values: values.into_iter() }),
            _ => Err(strange(operation)),
        }
    }

    pub(crate) fn operation(&self) -> &'static str {
        self.operation
    }

    pub(crate) fn strange(&self) -> Error {
        strange(self.operation)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.as_slice().is_empty()
    }

    /// The next value, if it is text.
    pub(crate) fn peek(&self) -> Option<&[u8]> {
        match self.values.as_slice().first() {
            Some(Value::BulkString(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// The next value, whatever it is.
    pub(crate) fn value(&mut self) -> Option<Value> {
        self.values.next()
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>> {
        match self.values.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            Some(Value::SimpleString(text)) => Ok(text.into_bytes()),
            Some(Value::Int(number)) => Ok(number.to_string().into_bytes()),
            _ => Err(self.strange()),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| self.strange())
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        self.text()?.parse().map_err(|_| self.strange())
    }

    pub(crate) fn flag(&mut self) -> Result<bool> {
        Ok(self.text()? == "1")
    }

    pub(crate) fn id<T: std::str::FromStr>(&mut self) -> Result<T> {
        self.text()?.parse().map_err(|_| self.strange())
    }

    /// A list within the list.
    pub(crate) fn list(&mut self) -> Result<Self> {
        match self.values.next() {
            Some(value) => Self::new(self.operation, value),
            None => Err(self.strange()),
        }
    }
}

fn strange(operation: &'static str) -> Error {
    let message = "a script's answer has an unexpected form: is there a proxy between this node and the server?";
    Error::new(ErrorKind::Corrupt, operation, message)
}

/// The record of something, as text with its format in front: the words after it.
///
/// # Errors
/// [`TooNew`](ErrorKind::TooNew) for a newer format, [`Corrupt`](ErrorKind::Corrupt) if there are not as many words.
pub(crate) fn words<'r, const N: usize>(operation: &'static str, what: &str, record: &'r str) -> Result<[&'r str; N]> {
    let (format, rest) = record.split_once(' ').ok_or_else(|| corrupt(operation, what))?;
    let format: u32 = format.parse().map_err(|_| corrupt(operation, what))?;
    if format > failover_core::record::FORMAT {
        return Err(too_new(operation, what, &format.to_string()));
    }
    let words: Vec<&str> = rest.splitn(N, ' ').collect();
    words.try_into().map_err(|_| corrupt(operation, what))
}

pub(crate) fn corrupt(operation: &'static str, what: &str) -> Error {
    let message = format!("the record of {what} breaks its format and was left as it is: restore it or remove it");
    Error::new(ErrorKind::Corrupt, operation, message)
}

pub(crate) fn too_new(operation: &'static str, what: &str, format: &str) -> Error {
    let known = failover_core::record::FORMAT;
    let message = format!(
        "the record of {what} has format {format}, this build knows up to {known}: upgrade this node; the record was left as it is"
    );
    Error::new(ErrorKind::TooNew, operation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_its_words_and_the_last_may_hold_spaces() {
        assert_eq!(words::<3>("x", "y", "1 a b c d").unwrap(), ["a", "b", "c d"]);
        assert_eq!(words::<2>("x", "y", "1 a ").unwrap(), ["a", ""]);
        assert_eq!(words::<3>("x", "y", "1 a").unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(words::<3>("x", "y", "").unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(words::<1>("x", "y", "99 strange").unwrap_err().kind(), ErrorKind::TooNew);
    }

    #[test]
    fn a_strange_answer_is_an_error_not_a_panic() {
        assert!(Reply::new("x", Value::Nil).is_err());
        let mut reply = Reply::new("x", Value::Array(vec![Value::Nil, Value::BulkString(b"ab".to_vec())])).unwrap();
        assert!(reply.text().is_err() && reply.number().is_err() && reply.list().is_err());
    }
}
