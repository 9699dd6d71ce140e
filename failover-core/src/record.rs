//! How a backend that keeps records as bytes or text encodes them: JSON with a format version (law 15).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The format this build writes, and the newest it reads.
pub const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Envelope<T> {
    format: u32,
    #[serde(flatten)]
    record: T,
}

#[derive(Deserialize)]
struct Peek {
    format: u32,
}

/// Encodes a record. `T` must serialise to a map.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) if it does not.
pub fn encode<T: Serialize>(operation: &'static str, record: &T) -> Result<String> {
    serde_json::to_string(&Envelope { format: FORMAT, record })
        .map_err(|e| Error::new(ErrorKind::Corrupt, operation, "a record could not be encoded").with_source(e))
}

/// Decodes a record. Fields it does not know are ignored: within one format, later builds only add fields.
///
/// # Errors
/// [`TooNew`](ErrorKind::TooNew) for a newer format, [`Corrupt`](ErrorKind::Corrupt) for anything unreadable. `what` names the record in both.
pub fn decode<T: DeserializeOwned>(operation: &'static str, what: &str, bytes: &[u8]) -> Result<T> {
    let corrupt = |e: serde_json::Error| {
        let message = format!("the record of {what} cannot be read and was left as it is");
        Error::new(ErrorKind::Corrupt, operation, message).with_source(e)
    };
    let Peek { format } = serde_json::from_slice(bytes).map_err(corrupt)?;
    if format > FORMAT {
        let message = format!(
            "the record of {what} has format {format}, this build knows up to {FORMAT}: upgrade this node; the record was left as it is"
        );
        return Err(Error::new(ErrorKind::TooNew, operation, message));
    }
    // The format is one of the fields that the record itself does not know.
    serde_json::from_slice(bytes).map_err(corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Thing {
        a: u32,
    }

    #[test]
    fn a_record_survives_and_carries_its_format() {
        let text = encode("test", &Thing { a: 7 }).unwrap();
        assert_eq!(text, r#"{"format":1,"a":7}"#);
        assert_eq!(decode::<Thing>("test", "thing", text.as_bytes()).unwrap(), Thing { a: 7 });
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let e = decode::<Thing>("changes", "job x", br#"{"format":2,"b":1}"#).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TooNew);
        assert!(e.to_string().contains("job x") && e.to_string().contains("format 2"), "{e}");
    }

    #[test]
    fn rubbish_is_corrupt_not_a_panic() {
        assert_eq!(decode::<Thing>("x", "y", b"\xff{").unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(decode::<Thing>("x", "y", br#"{"format":1}"#).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
