//! The scripts: every operation is one of them, run by one call.

use redis::Script;

use crate::keys::Key;

/// A script, the keys it works on, and what may be done when its answer is lost.
pub(crate) struct Operation {
    pub(crate) script: Script,
    pub(crate) source: &'static str,
    pub(crate) keys: &'static [Key],
    pub(crate) lane: Lane,
    pub(crate) kind: Kind,
}

/// Which connection an operation runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Heartbeats and renewals, and the reads that go with them: never behind anything large or slow.
    Pulse,
    /// Grants, jobs and documents.
    Durable,
}

/// What an operation does, for retries and for `WAIT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only reads: repeated when a connection breaks.
    Read,
    /// Writes what need not survive.
    Advice,
    /// Writes what has to survive, and says the same when it is repeated: so it is, when a connection breaks.
    Repeatable,
    /// Writes what has to survive; repeated, it would tell the caller something else.
    Once,
}

impl Kind {
    /// Whether replicas have to acknowledge it, if the user asked for that.
    pub(crate) fn must_survive(self) -> bool {
        matches!(self, Self::Repeatable | Self::Once)
    }

    /// Whether it is repeated after a connection broke under it.
    pub(crate) fn is_repeatable(self) -> bool {
        !matches!(self, Self::Once)
    }
}

macro_rules! source {
    ($flags:literal: $($part:literal),*) => {
        concat!("#!lua", $flags, "\n", include_str!("scripts/prelude.lua"), $(include_str!(concat!("scripts/", $part, ".lua")),)*
            include_str!("scripts/finish.lua"))
    };
}

macro_rules! scripts {
    ($($name:ident = $flags:literal [$($part:literal),*] [$($key:ident),*] $lane:ident $kind:ident;)*) => {
        /// All scripts.
        pub(crate) struct Scripts { $(pub(crate) $name: Operation,)* }

        impl Scripts {
            pub(crate) fn new() -> Self {
                Self { $($name: {
                    let source = source!($flags: $($part),*);
                    let keys = &[$(Key::$key),*];
                    Operation { script: Script::new(source), source, keys, lane: Lane::$lane, kind: Kind::$kind }
                },)* }
            }

            pub(crate) fn all(&self) -> Vec<&Operation> {
                vec![$(&self.$name),*]
            }
        }
    };
}

// A server without memory left still takes what only replaces or frees: a holder must be able to go on.
scripts! {
    greet = " flags=allow-oom" ["greet"] [Meta, Leases, Beats] Durable Repeatable;
    beat = " flags=allow-oom" ["beat"] [Meta, Beats] Pulse Advice;
    sightings = " flags=allow-oom" ["sightings"] [Meta, Beats] Pulse Read;
    forget = " flags=allow-oom" ["forget"] [Meta, Beats] Pulse Advice;
    acquire = "" ["lease", "acquire"] [Meta, Leases] Durable Repeatable;
    renew = " flags=allow-oom" ["lease", "renew"] [Meta, Leases] Pulse Repeatable;
    release = " flags=allow-oom" ["lease", "release"] [Meta, Leases] Durable Repeatable;
    current = " flags=allow-oom" ["lease", "current"] [Meta, Leases] Pulse Read;
    raise_floor = " flags=allow-oom" ["raise_floor"] [Meta] Durable Repeatable;
    submit = "" ["job", "submit"] [Meta, Jobs, Specs, Feed, Graves, Epochs, Fences] Durable Once;
    revise = "" ["job", "revise"] [Meta, Jobs, Specs, Feed, Graves, Epochs, Fences] Durable Once;
    remove = " flags=allow-oom" ["job", "remove"] [Meta, Jobs, Specs, Feed, Graves, Epochs, Fences] Durable Once;
    changes = " flags=allow-oom" ["job", "changes"] [Meta, Jobs, Specs, Feed, Graves, Epochs, Fences] Durable Read;
    assign = "" ["job", "fence", "assign"] [Meta, Jobs, Specs, Feed, Graves, Epochs, Fences] Durable Once;
    report = " flags=allow-oom" ["job", "report"] [Meta, Jobs, Specs, Feed, Graves, Epochs, Fences] Durable Once;
    get = " flags=allow-oom" ["get"] [Meta, Docs] Durable Read;
    list = " flags=allow-oom" ["list"] [Meta, Docs, Paths] Durable Read;
    put = "" ["document", "fence", "put"] [Meta, Docs, Paths, Fences] Durable Once;
    delete = " flags=allow-oom" ["document", "fence", "delete"] [Meta, Docs, Paths, Fences] Durable Once;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_scripts_are_the_same_and_all_begin_with_the_cluster_record() {
        let scripts = Scripts::new();
        let mut hashes: Vec<&str> = scripts.all().iter().map(|operation| operation.script.get_hash()).collect();
        let count = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
        for operation in scripts.all() {
            assert_eq!(operation.keys[0], Key::Meta);
            assert!(operation.source.starts_with("#!lua"));
        }
    }
}
