//! Many jobs and classes at once.

use failover_core::admin::{Change, Difference, Mode, Wanted};
use failover_core::control::Settings;
use failover_core::job::{JobDraft, PolicyDraft};
use failover_core::memory::MemoryStore;
use failover_core::{Admin, Capacity, ErrorKind, GroupName, JobAssigner, JobSpec};

use crate::{broken, class, id, job, node, pinned, policy, seen, with};

fn wanted(jobs: impl IntoIterator<Item = JobSpec>) -> Wanted {
    Wanted { jobs: jobs.into_iter().map(Into::into).collect(), ..Wanted::default() }
}

/// The differences in short: `+new`, `=same`, `~changed(field: from > to)`.
fn told(differences: &[Difference]) -> String {
    let one = |difference: &Difference| {
        let (name, change) = match difference {
            Difference::Class(class, change) => (format!("class {class}"), change),
            Difference::Job(job, change) => (job.to_string(), change),
            other => panic!("{other:?}"),
        };
        match change {
            Change::New => format!("+{name}"),
            Change::Same => format!("={name}"),
            Change::Fields(fields) => {
                let texts: Vec<_> = fields.iter().map(|f| format!("{}: {} > {}", f.field, f.from, f.to)).collect();
                format!("~{name}({})", texts.join("; "))
            }
            other => panic!("{other:?}"),
        }
    };
    differences.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn what_is_new_is_made_what_differs_is_changed_and_a_second_time_does_nothing() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    seen(&store, "a", Capacity::default()).await;
    admin.submit(&job("other")).await.unwrap();
    admin.submit(&job("old")).await.unwrap();
    admin.submit(&job("same")).await.unwrap();

    let mut wanted = wanted([
        job("same"),
        with("old", policy(|p| (p.priority, p.pins) = (4, vec![node("a")]))).with_payload("yz").unwrap(),
    ]);
    wanted.classes.insert(class("batch"), policy(|policy| policy.retries = Some(3)));
    let mut of_class = PolicyDraft::default();
    of_class.class = Some(class("batch"));
    wanted.jobs.push(JobDraft::new(job("new"), of_class));
    let difference = "+class batch =same ~old(priority: 0 > 4; pins: none > a; payload: 1 bytes > 2 bytes) +new";

    let before = (admin.jobs().await.unwrap(), admin.settings().await.unwrap());
    assert_eq!(told(&admin.apply(&wanted, Mode::DryRun).await.unwrap()), difference);
    assert_eq!((admin.jobs().await.unwrap(), admin.settings().await.unwrap()), before, "a dry run writes nothing");

    assert_eq!(told(&admin.apply(&wanted, Mode::Write).await.unwrap()), difference);
    let jobs = admin.jobs().await.unwrap();
    assert_eq!(jobs.len(), 4, "what the file does not name stays");
    assert_eq!(jobs.iter().find(|j| *j.spec.id() == id("new")).unwrap().spec.policy().retries, Some(3));
    assert_eq!(told(&admin.apply(&wanted, Mode::Write).await.unwrap()), "=class batch =same =old =new");
    assert_eq!(admin.jobs().await.unwrap(), jobs);
}

#[tokio::test]
async fn a_payload_of_the_same_length_is_another_payload() {
    let admin = Admin::new(MemoryStore::new().backend());
    admin.submit(&job("j")).await.unwrap();
    let other = wanted([job("j").with_payload("y").unwrap()]);
    assert_eq!(told(&admin.apply(&other, Mode::Write).await.unwrap()), "~j(payload: 1 bytes > 1 bytes)");
    assert_eq!(admin.jobs().await.unwrap()[0].spec.payload(), "y");
}

#[tokio::test]
async fn one_thing_that_cannot_be_keeps_everything_out() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    seen(&store, "a", Capacity::of(10).unwrap()).await;
    let apart =
        |name: &str| with(name, policy(|p| (p.apart, p.pins) = (Some(GroupName::new("db").unwrap()), vec![node("a")])));
    let of_no_class = with("j", policy(|policy| policy.class = Some(class("none"))));
    let mut bad_class = wanted([job("good")]);
    bad_class.classes.insert(class("c"), pinned(&["nobody"]));
    let cases = [
        (wanted([job("good"), job("j"), job("j")]), "job is `j`: it is there twice"),
        (wanted([job("good"), with("j", pinned(&["nobody"]))]), "job `j`: pins is `nobody`: no such node"),
        (
            wanted([job("good"), job("j").with_weight(11).unwrap()]),
            "job `j`: weight is `11`: no node takes more than 10",
        ),
        (wanted([job("good"), of_no_class]), "job `j`: class is `none`: there is no such class"),
        (wanted([job("good"), apart("1"), apart("2")]), "job `2`: apart is `db`: more jobs of this group"),
        (bad_class, "class `c`: pins is `nobody`"),
    ];
    for (wanted, rule) in cases {
        for mode in [Mode::DryRun, Mode::Write] {
            let error = admin.apply(&wanted, mode).await.unwrap_err();
            assert!(broken(&error).starts_with(rule), "{error}");
            assert!(admin.jobs().await.unwrap().is_empty(), "{rule}");
            assert_eq!(admin.settings().await.unwrap(), Settings::default(), "{rule}");
        }
    }
    // One that is there already counts too.
    admin.submit(&apart("1")).await.unwrap();
    assert!(broken(&admin.apply(&wanted([apart("2")]), Mode::Write).await.unwrap_err()).contains("`db`"));
    admin.remove(&id("1")).await.unwrap();
    admin.apply(&wanted([apart("2")]), Mode::Write).await.unwrap();
}

#[tokio::test]
async fn a_job_that_is_being_removed_has_to_go_first() {
    let store = MemoryStore::new();
    let admin = Admin::new(store.backend());
    admin.submit(&job("j")).await.unwrap();
    let fence = crate::active(&store, "a").await;
    crate::place(&store, &fence, "j", "a").await;
    store.remove(&id("j")).await.unwrap();
    let error = admin.apply(&wanted([job("good"), job("j")]), Mode::Write).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_retryable() && error.to_string().contains("job `j` is being removed"), "{error}");
    assert_eq!(admin.jobs().await.unwrap().len(), 1);
}
