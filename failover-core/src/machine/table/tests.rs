use super::*;

#[test]
fn every_stage_that_is_not_final_has_an_exit_and_no_final_one_has() {
    for stage in Stage::ALL {
        let exits = Trigger::ALL.iter().any(|t| next(stage, *t).is_some());
        assert_eq!(exits, !stage.is_final(), "{stage:?}");
    }
}

#[test]
fn every_stage_can_be_reached_from_joining_and_can_end() {
    for start in Stage::ALL {
        let mut reached = vec![start];
        let mut at = 0;
        while let Some(stage) = reached.get(at).copied() {
            at += 1;
            let next_stages = Trigger::ALL.iter().filter_map(|t| next(stage, *t));
            let fresh: Vec<_> = next_stages.map(|(to, _)| to).filter(|to| !reached.contains(to)).collect();
            reached.extend(fresh);
        }
        assert!(reached.iter().any(|s| s.is_final()), "{start:?} never ends");
        if start == Stage::Joining {
            assert!(Stage::ALL.iter().all(|s| reached.contains(s)), "some stage is unreachable");
        }
    }
}

#[test]
fn the_drawn_table_is_the_real_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md");
    let (begin, end) = ("<!-- transitions -->\n", "<!-- /transitions -->");
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once(begin).unwrap();
    let (drawn, after) = rest.split_once(end).unwrap();
    if std::env::var_os("FAILOVER_REWRITE").is_some() {
        std::fs::write(path, format!("{before}{begin}{}{end}{after}", render())).unwrap();
    } else {
        assert_eq!(drawn, render(), "redraw it with FAILOVER_REWRITE=1");
    }
}

#[test]
fn no_transition_leads_to_where_it_came_from() {
    for stage in Stage::ALL {
        assert!(Trigger::ALL.iter().all(|t| next(stage, *t).is_none_or(|(to, _)| to != stage)), "{stage:?}");
    }
}
