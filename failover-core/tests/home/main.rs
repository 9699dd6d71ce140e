//! Backends on a thread of their own, under hosts with a runtime of one thread that they block, by the machine's own clock.

mod calls;
mod ends;
mod hosts;
mod stage;
mod stands_still;
