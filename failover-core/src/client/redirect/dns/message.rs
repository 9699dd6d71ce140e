//! The messages: what is asked, and what is read out of the answers.

use std::net::IpAddr;

use domain::base::iana::{Class, Opcode, Rtype};
use domain::base::message_builder::{AdditionalBuilder, AnswerBuilder, AuthorityBuilder};
use domain::base::{Message, MessageBuilder, Name, Ttl, UnknownRecordData};
use domain::rdata::{A, Aaaa, Cname, Txt};

use super::{DnsError, DnsName, DnsUpdate, Target};
use crate::ids::Term;

/// What the term's record begins with.
const MARK: &str = "failover term=";

type Builder = MessageBuilder<Vec<u8>>;

/// The question what a name has of a type.
pub(super) fn question(name: &DnsName, rtype: Rtype) -> AdditionalBuilder<Vec<u8>> {
    let mut question = Builder::new_vec().question();
    fits(question.push((name, rtype)));
    question.additional()
}

/// The update as RFC 2136 has it: the zone, what has to be there, and what is to be there then.
pub(super) fn update(plan: &DnsUpdate, found: Option<Term>, term: Term, target: &Target) -> AdditionalBuilder<Vec<u8>> {
    let mut builder = Builder::new_vec();
    builder.header_mut().set_opcode(Opcode::UPDATE);
    let mut zone = builder.question();
    fits(zone.push((&plan.zone, Rtype::SOA)));
    let mut before = zone.answer();
    require(&mut before, &plan.mark, found);
    let mut after = before.authority();
    let ttl = Ttl::from_secs(plan.ttl);
    for rtype in [Rtype::A, Rtype::AAAA, Rtype::CNAME] {
        clear(&mut after, &plan.name, rtype);
    }
    match target {
        Target::Alias(name) => fits(after.push((&plan.name, Class::IN, ttl, Cname::new(name)))),
        Target::Addresses(addresses) => {
            for address in addresses {
                match address {
                    IpAddr::V4(address) => fits(after.push((&plan.name, Class::IN, ttl, A::new(*address)))),
                    IpAddr::V6(address) => fits(after.push((&plan.name, Class::IN, ttl, Aaaa::new(*address)))),
                }
            }
        }
    }
    clear(&mut after, &plan.mark, Rtype::TXT);
    fits(after.push((&plan.mark, Class::IN, ttl, text(term))));
    after.additional()
}

/// The term that an answer tells.
pub(super) fn mark(answer: &Message<Vec<u8>>, mark: &DnsName) -> Result<Option<Term>, DnsError> {
    let garbled = |_| DnsError::Unreachable("its answer cannot be read".to_owned());
    let mut terms = Vec::new();
    for record in answer.answer().map_err(garbled)?.limit_to_in::<Txt<_>>() {
        let record = record.map_err(garbled)?;
        if record.owner() != mark {
            continue;
        }
        let text = String::from_utf8_lossy(&record.data().text::<Vec<u8>>()).into_owned();
        let term = text.strip_prefix(MARK).and_then(|term| term.parse().ok()).map(Term);
        terms.push(
            term.ok_or_else(|| DnsError::Occupied(format!("`{mark}` holds `{text}`, which is not of this cluster")))?,
        );
    }
    match terms.as_slice() {
        [] => Ok(None),
        [term] => Ok(Some(*term)),
        [..] => Err(DnsError::Occupied(format!("`{mark}` holds several terms"))),
    }
}

/// Whether an answer tells that the name is an alias of that one.
pub(super) fn is_alias(answer: &Message<Vec<u8>>, name: &DnsName, of: &DnsName) -> Result<bool, DnsError> {
    let garbled = |_| DnsError::Unreachable("its answer cannot be read".to_owned());
    for record in answer.answer().map_err(garbled)?.limit_to_in::<Cname<_>>() {
        let record = record.map_err(garbled)?;
        if record.owner() == name && record.data().cname() == of {
            return Ok(true);
        }
    }
    Ok(false)
}

fn text(term: Term) -> Txt<Vec<u8>> {
    let text = format!("{MARK}{}", term.0);
    Txt::build_from_slice(text.as_bytes()).unwrap_or_else(|_| unreachable!("a few characters fit"))
}

/// That the term is still the one that was found (RFC 2136, 2.4.2), or that there is still none (2.4.3).
fn require(before: &mut AnswerBuilder<Vec<u8>>, mark: &DnsName, found: Option<Term>) {
    fits(match found {
        Some(term) => before.push((mark, Class::IN, Ttl::ZERO, text(term))),
        None => before.push((mark, Class::NONE, Ttl::ZERO, nothing(Rtype::TXT))),
    });
}

/// Removes whatever the name has of that type (RFC 2136, 2.5.2).
fn clear(after: &mut AuthorityBuilder<Vec<u8>>, name: &Name<Vec<u8>>, rtype: Rtype) {
    fits(after.push((name, Class::ANY, Ttl::ZERO, nothing(rtype))));
}

fn nothing(rtype: Rtype) -> UnknownRecordData<&'static [u8]> {
    UnknownRecordData::from_octets(rtype, &[][..]).unwrap_or_else(|_| unreachable!("nothing is not too long"))
}

/// A vector grows, and a few names and addresses are far below what a message can hold.
fn fits<E>(pushed: Result<(), E>) {
    pushed.unwrap_or_else(|_| unreachable!("a message of a few records is too long"));
}
