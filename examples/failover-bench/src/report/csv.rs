//! Every single figure, for whoever wants to look at them in another way.

use std::fmt::Write as _;

use crate::results::Line;

pub(super) fn of(lines: &[Line]) -> String {
    let mut text = String::from("what,store,of,index,value,unit\n");
    for line in lines {
        for (of, values) in [("failover", &line.values), ("bare", &line.bare)] {
            for (index, value) in values.iter().enumerate() {
                let _fits = writeln!(text, "\"{}\",{},{of},{index},{value},{}", line.what, line.store, line.unit);
            }
        }
    }
    text
}
