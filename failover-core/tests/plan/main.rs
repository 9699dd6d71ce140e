//! What the planner decides: each of its rules, and over a model of the store what holds whatever happens.

mod exits;
mod losses;
mod places;
mod property;
mod world;
