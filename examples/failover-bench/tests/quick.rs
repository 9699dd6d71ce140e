//! The whole program once, as little of everything as there can be: that it runs to its end and writes what it promises.

use std::process::Command;

fn bench() -> Command {
    Command::new(env!("CARGO_BIN_EXE_failover-bench"))
}

#[test]
fn every_row_is_measured_and_written_to_all_places() {
    let room = tempfile::tempdir().unwrap();
    let document = room.path().join("BENCHMARKS.md");
    let folder = room.path().join("figures");
    let output = bench().arg("--quick").arg("--folder").arg(&folder).arg("--document").arg(&document).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{text}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
    let (table, csv, svg) = (read(document), read(folder.join("figures.csv")), read(folder.join("figures.svg")));
    let timed =
        ["acquire", "renew", "graceful", "switchover", "crash, kill -9", "100 records", "10 records, one by one"];
    for what in timed {
        for store in ["Redis", "etcd", "PostgreSQL", "SQLite", "MariaDB"] {
            assert!(table.contains(&format!("| {what} | {store} |")), "{what} on {store}: {table}");
            assert!(csv.contains(&format!("\"{what}\",{store},failover,0,")), "{what} on {store}");
            assert!(csv.contains(&format!("\"{what}\",{store},bare,0,")), "{what} on {store}");
            assert!(svg.contains(&format!(">{what}, {store}<")), "{what} on {store}: {svg}");
        }
    }
    for what in [
        "idle, asked",
        "idle, processor",
        "renew, 64 clients",
        "host loss, past ttl",
        "20 jobs, memory",
        "40 beating, server",
        "double owners",
    ] {
        assert!(table.contains(&format!("| {what} |")) && text.contains(what), "{what}: {table}");
    }
    assert!(table.contains("| double owners | Redis | 1 | 0 |"), "{table}");
}

#[test]
fn wrong_usage_names_what_there_is() {
    for arguments in [&["--nonsense"][..], &["--only", "nothing"], &["--folder"]] {
        let output = bench().args(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains("one of: calls, throughput, takeover"), "{errors}");
    }
}
