//! What a document of the journal holds: records of one writer, or parts of them.
//!
//! ```text
//! "frj" format writer(16) id(8) first(8) { length(4); bytes }*
//! ```
//!
//! The highest bit of a length is set if the record goes on in the next entry, the next one if it is a whole state.

use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::record::FORMAT;
use crate::state::MAX_VALUE;

const MAGIC: &[u8; 3] = b"frj";
const HEADER: usize = 3 + 1 + 16 + 8 + 8;
const GOES_ON: u32 = 1 << 31;
const STATE: u32 = 1 << 30;

/// One thing that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
}

/// What a host does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It applies it.
    Change,
    /// It puts it in the place of all it has.
    State,
}

/// Who wrote an entry, and which of the writer's it is: tells an own one from another's at the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) writer: Uuid,
    pub(super) id: u64,
}

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) mark: Mark,
    /// How many records are complete before it.
    pub(super) first: u64,
    frames: Vec<Frame>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    record: Record,
    goes_on: bool,
}

/// A record that began in an entry and goes on in the next, by the same writer or never.
pub(super) type Begun = Option<(Uuid, Record)>;

impl Entry {
    pub(super) fn decode(what: &str, value: &[u8]) -> Result<Self> {
        let corrupt = || {
            let message = format!("{what} cannot be read and was left as it is");
            Error::new(ErrorKind::Corrupt, "replica", message)
        };
        let rest = value.strip_prefix(MAGIC).ok_or_else(corrupt)?;
        let (format, rest) = rest.split_first().ok_or_else(corrupt)?;
        if u32::from(*format) > FORMAT {
            let message = format!(
                "{what} has format {format}, this build knows up to {FORMAT}: upgrade this node; it was left as it is"
            );
            return Err(Error::new(ErrorKind::TooNew, "replica", message));
        }
        let (writer, rest) = rest.split_first_chunk().ok_or_else(corrupt)?;
        let (id, rest) = rest.split_first_chunk().ok_or_else(corrupt)?;
        let (first, mut rest) = rest.split_first_chunk().ok_or_else(corrupt)?;
        let mut frames: Vec<Frame> = Vec::new();
        while !rest.is_empty() {
            let (length, behind) = rest.split_first_chunk().ok_or_else(corrupt)?;
            let length = u32::from_be_bytes(*length);
            let size = usize::try_from(length & !GOES_ON & !STATE).map_err(|_| corrupt())?;
            let (bytes, behind) = behind.split_at_checked(size).ok_or_else(corrupt)?;
            let kind = if length & STATE == 0 { Kind::Change } else { Kind::State };
            frames.push(Frame { record: Record { kind, bytes: bytes.to_vec() }, goes_on: length & GOES_ON != 0 });
            rest = behind;
        }
        // Only the last record of an entry can go on in the next one.
        if frames.iter().rev().skip(1).any(|frame| frame.goes_on) {
            return Err(corrupt());
        }
        let mark = Mark { writer: Uuid::from_bytes(*writer), id: u64::from_be_bytes(*id) };
        Ok(Self { mark, first: u64::from_be_bytes(*first), frames })
    }

    /// The records that are complete with this entry, what had begun before it given; and what begins in it and goes on.
    pub(super) fn records(self, begun: Begun) -> (Vec<Record>, Begun) {
        // What another writer has begun will never be complete: it was not acknowledged.
        let mut begun = begun.filter(|(writer, _)| *writer == self.mark.writer).map(|(_, record)| record);
        let mut records = Vec::with_capacity(self.frames.len());
        for Frame { record, goes_on } in self.frames {
            let all = match begun.take() {
                None => record,
                Some(mut all) => {
                    all.bytes.extend(record.bytes);
                    all
                }
            };
            if goes_on {
                begun = Some(all);
            } else {
                records.push(all);
            }
        }
        (records, begun.map(|record| (self.mark.writer, record)))
    }

    /// How many records are complete with it.
    pub(super) fn end(&self) -> u64 {
        let complete = self.frames.iter().filter(|frame| !frame.goes_on).count();
        self.first + u64::try_from(complete).unwrap_or(u64::MAX)
    }
}

/// An entry that is to be written.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) value: Vec<u8>,
    /// How many records end in it.
    pub(super) ends: usize,
}

/// Packs records into as few entries as they fit. `first` are complete before them, `id` is the first entry's.
pub(super) fn pack<'a>(mut mark: Mark, first: u64, records: impl IntoIterator<Item = &'a Record>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let mut draft = begin(mark, first);
    let mut ended = first;
    for Record { kind, bytes } in records {
        let (mut bytes, flag) = (&bytes[..], if *kind == Kind::State { STATE } else { 0 });
        loop {
            let room = MAX_VALUE.saturating_sub(draft.value.len() + size_of::<u32>());
            if bytes.len() <= room {
                frame(&mut draft.value, bytes, flag);
                draft.ends += 1;
                ended += 1;
                break;
            }
            // The rest of an entry that is nearly full is not worth a part.
            if room > HEADER {
                let (part, rest) = bytes.split_at(room);
                frame(&mut draft.value, part, flag | GOES_ON);
                bytes = rest;
            }
            mark.id += 1;
            drafts.push(std::mem::replace(&mut draft, begin(mark, ended)));
        }
    }
    drafts.push(draft);
    drafts
}

fn begin(mark: Mark, first: u64) -> Draft {
    let mut value = MAGIC.to_vec();
    value.push(u8::try_from(FORMAT).unwrap_or(u8::MAX));
    value.extend(mark.writer.as_bytes());
    value.extend(mark.id.to_be_bytes());
    value.extend(first.to_be_bytes());
    Draft { value, ends: 0 }
}

fn frame(to: &mut Vec<u8>, bytes: &[u8], flag: u32) {
    // Shorter than a document, which is far shorter than four bytes can say.
    let length = u32::try_from(bytes.len()).unwrap_or(0) | flag;
    to.extend(length.to_be_bytes());
    to.extend(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::replica::MAX_RECORD;

    const MARK: Mark = Mark { writer: Uuid::from_u128(7), id: 3 };

    fn change(bytes: impl Into<Vec<u8>>) -> Record {
        Record { kind: Kind::Change, bytes: bytes.into() }
    }

    fn unpack(drafts: &[Draft]) -> Vec<Record> {
        let (mut all, mut begun) = (Vec::new(), None);
        for (n, draft) in drafts.iter().enumerate() {
            let entry = Entry::decode("it", &draft.value).unwrap();
            assert_eq!(entry.mark, Mark { id: MARK.id + n as u64, ..MARK });
            assert_eq!(entry.first, all.len() as u64);
            let (records, goes_on) = entry.records(begun);
            assert_eq!(records.len(), draft.ends);
            all.extend(records);
            begun = goes_on;
        }
        assert_eq!(begun, None);
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn records_of_any_size_come_out_as_they_went_in(
            sizes in prop::collection::vec(prop_oneof![0..300usize, Just(MAX_RECORD), 0..MAX_RECORD, Just(MAX_VALUE)], 0..12),
        ) {
            let kind = |n| if n % 3 == 1 { Kind::State } else { Kind::Change };
            let record = |(n, size): (u8, &usize)| Record { kind: kind(n), bytes: vec![n; *size] };
            let records: Vec<Record> = (0..).zip(&sizes).map(record).collect();
            let drafts = pack(MARK, 0, &records);
            prop_assert!(drafts.iter().all(|draft| draft.value.len() <= MAX_VALUE));
            prop_assert_eq!(unpack(&drafts), records);
        }
    }

    #[test]
    fn what_a_writer_left_half_written_is_nobodys_record() {
        let halves = pack(MARK, 0, &[change(vec![1; MAX_VALUE + 1])]);
        let (records, begun) = Entry::decode("it", &halves[0].value).unwrap().records(None);
        assert!(records.is_empty() && begun.is_some());
        let other = Mark { writer: Uuid::from_u128(8), id: 0 };
        let next = pack(other, 0, &[change("two")]);
        let (records, begun) = Entry::decode("it", &next[0].value).unwrap().records(begun);
        assert_eq!((records, begun), (vec![change("two")], None));
    }

    #[test]
    fn what_cannot_be_read_is_named_and_never_a_panic() {
        let good = pack(MARK, 0, &[change("one"), change("two")]).remove(0).value;
        for cut in (0..good.len()).filter(|cut| ![HEADER, HEADER + 7, good.len()].contains(cut)) {
            assert_eq!(Entry::decode("it", &good[..cut]).unwrap_err().kind(), ErrorKind::Corrupt, "{cut}");
        }
        let mut newer = good.clone();
        newer[3] += 1;
        let error = Entry::decode("entry 4", &newer).unwrap_err();
        assert!(error.kind() == ErrorKind::TooNew && error.to_string().contains("entry 4"), "{error}");
        let mut torn = good;
        torn[HEADER] |= 0x80;
        assert_eq!(Entry::decode("it", &torn).unwrap_err().kind(), ErrorKind::Corrupt, "only the last may go on");
    }
}
