//! Classes that are like others, made complete.

use std::collections::BTreeMap;

use failover::{ClassName, Invalid, JobPolicy};

use super::Broken;
use super::shape::ClassShape;

/// The policy of each class, with what it has from the one it is like.
pub(super) fn complete(classes: &[(ClassName, ClassShape)]) -> Result<BTreeMap<ClassName, JobPolicy>, Broken> {
    let by_name: BTreeMap<_, _> = classes.iter().map(|(name, class)| (name, class)).collect();
    let mut done = BTreeMap::new();
    for (name, _) in classes {
        // From the class itself to the one that is like no other.
        let mut line = vec![name];
        while let Some(like) = by_name[line[line.len() - 1]].like.as_ref() {
            let last = line[line.len() - 1];
            if !by_name.contains_key(like) {
                return Err(broken(last, "like", like, "there is no such class in this file".into()));
            }
            if line.contains(&like) {
                let names: Vec<_> = line.iter().map(|name| name.as_str()).collect();
                let rule =
                    format!("they are like one another, {} and {like} again: leave one `like` out", names.join(", "));
                let first = by_name[name].like.as_ref().unwrap_or(like);
                return Err(broken(name, "like", first, rule));
            }
            line.push(like);
        }
        let policy = line.iter().rev().fold(JobPolicy::default(), |base, name| by_name[*name].draft().over(&base));
        policy.check().map_err(|invalid| (vec!["classes".into(), name.to_string(), invalid.field.clone()], invalid))?;
        done.insert(name.clone(), policy);
    }
    Ok(done)
}

fn broken(class: &ClassName, field: &str, value: &ClassName, rule: String) -> Broken {
    (vec!["classes".into(), class.to_string(), field.into()], Invalid::new(field, value, rule))
}
