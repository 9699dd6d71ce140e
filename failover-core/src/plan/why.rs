//! Why the planner decides what it does: each reason's text is the log line and the documentation.

use crate::sentences::sentences;

impl Why {
    /// Whether it comes of an operator's wish, or ends a move that was begun: that goes on while the cluster is paused.
    pub const fn is_ordered(self) -> bool {
        match self {
            Self::Arrives | Self::Asked | Self::Drained | Self::DrainedNowhere | Self::Followed | Self::ReturnAsked => {
                true
            }
            Self::Waited | Self::FailedOver | Self::LostNowhere | Self::LostBound | Self::GaveUp | Self::Restarted => {
                false
            }
            Self::Recovered | Self::Removed | Self::ReturnedByItself => false,
        }
    }
}

sentences! {
    /// Why a job is moved.
    pub enum Why {
        Waited => "it waited for a place, and this is the best that can take it",
        Arrives => "it has stopped where it was and goes on where room is reserved for it",
        FailedOver => "its node was lost, and this is the best place that can take it",
        LostNowhere => "its node was lost, and no place can take it now",
        LostBound => "its node was lost, and its policy lets it run nowhere else",
        GaveUp => "its node was lost, and it has been started again as often as its policy allows",
        Restarted => "it failed and its wait is over",
        Recovered => "its node was lost, and now there is a place that can take it",
        Removed => "it was removed, and its node was lost before it had stopped",
        Asked => "an operator asked for it to run there",
        Drained => "its node is being emptied, and room is reserved for it elsewhere",
        DrainedNowhere => "its node is being emptied at once, and no place can take it now",
        Followed => "it follows a switchover, and room is reserved for it elsewhere",
        ReturnedByItself => "the node it was moved from has been back for long enough",
        ReturnAsked => "an operator asked for everything to return to the node it was moved from",
    }
}
