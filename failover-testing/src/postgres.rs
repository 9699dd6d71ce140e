//! [`Postgres`]: a `PostgreSQL` server of a test's own.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::certificates::Certificates;
use crate::daemon::Daemon;
use crate::port;
use crate::room::Room;

const PACKAGE: &str = "postgresql";

/// The superuser of every server; it needs no password unless [`PostgresSetup::password`] says so.
pub const SUPERUSER: &str = "postgres";

/// How a server is to be set up.
#[derive(Debug, Clone, Default)]
pub struct PostgresSetup {
    settings: Vec<String>,
    tls: Option<(PathBuf, PathBuf)>,
    password: Option<String>,
}

impl PostgresSetup {
    /// Serves TLS, with plain connections still possible.
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.tls = Some((certificates.certificate(), certificates.key()));
        self
    }

    /// Asks everybody for a password (SCRAM); this is the superuser's.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// A setting of the server, such as `synchronous_standby_names=*`.
    pub fn setting(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// If that fails.
    pub fn start(&self) -> Postgres {
        Postgres::launch(self, None)
    }
}

/// A server of one test or of one test binary: empty when it starts, not flushed to disk, gone with its value.
#[derive(Debug)]
pub struct Postgres {
    daemon: Daemon,
    room: Room,
    port: u16,
    password: Option<String>,
}

impl Postgres {
    /// A server with nothing special about it.
    ///
    /// # Panics
    /// If it cannot be started: the message names the package.
    pub fn start() -> Self {
        PostgresSetup::default().start()
    }

    /// A streaming replica of `primary`, asynchronous unless the primary's settings say otherwise.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn standby_of(primary: &Self) -> Self {
        Self::launch(&PostgresSetup::default(), Some(primary))
    }

    fn launch(setup: &PostgresSetup, primary: Option<&Self>) -> Self {
        let room = Room::new("failover-postgres-");
        let data = room.path().join("data");
        let port = port::free();
        if let Some(primary) = primary {
            let port = primary.port.to_string();
            let copy = ["-h", "127.0.0.1", "-p", &port, "-U", SUPERUSER, "-R", "-c", "fast", "--no-sync", "-D"];
            own_directory(&data);
            let mut command = as_server(&binary("pg_basebackup"));
            succeed("pg_basebackup", command.args(copy).arg(&data).output());
        } else {
            succeed("cp", Command::new("cp").arg("-a").arg(template()).arg(&data).output());
        }
        let mut program = as_server_words();
        program.push(binary("postgres").display().to_string());
        program.extend(["-D".into(), data.display().to_string(), "-p".into(), port.to_string()]);
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", data.display()),
            "fsync=off".into(),
            "max_connections=400".into(),
            "shared_buffers=32MB".into(),
            "autovacuum=off".into(),
        ];
        if let Some((certificate, key)) = &setup.tls {
            for (from, to) in [(certificate, "server.pem"), (key, "server.key")] {
                let to = data.join(to);
                std::fs::copy(from, &to).expect("a certificate can be copied");
                own(&to);
                std::fs::set_permissions(&to, PermissionsExt::from_mode(0o600)).expect("its rights can be set");
            }
            settings.extend(["ssl=on".into(), "ssl_cert_file=server.pem".into(), "ssl_key_file=server.key".into()]);
        }
        settings.extend(setup.settings.iter().cloned());
        program.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        let daemon = Daemon::start("postgres", PACKAGE, &program, &room.path().join("log"));
        let mut server = Self { daemon, room, port, password: None };
        server.wait_until_ready();
        if let Some(password) = &setup.password {
            server.sql("postgres", &format!("ALTER USER {SUPERUSER} PASSWORD '{password}'"));
            let all = "local all all trust\nhost all all all scram-sha-256\n";
            std::fs::write(data.join("pg_hba.conf"), all).expect("a file can be written");
            server.sql("postgres", "SELECT pg_reload_conf()");
            server.password = Some(password.clone());
            // The reload is a signal: it is done when a connection without the password is refused.
            let port = server.port;
            server.daemon.wait_until(|| !psql(port, None, "postgres", "SELECT 1").status.success());
        }
        server
    }

    fn wait_until_ready(&mut self) {
        let (port, ready) = (self.port.to_string(), binary("pg_isready"));
        let asked = ["-q", "-h", "127.0.0.1", "-p", &port, "-U", SUPERUSER, "-d", "postgres"];
        self.daemon.wait_until(|| Command::new(&ready).args(asked).status().is_ok_and(|status| status.success()));
    }

    /// The port it listens on, on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The address of the database `postgres`.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The same through something that listens on another port, such as a proxy.
    pub fn url_at(&self, port: u16) -> String {
        self.url_of("postgres", port)
    }

    /// The address of a database through a port.
    pub fn url_of(&self, database: &str, port: u16) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}")).unwrap_or_default();
        format!("postgres://{SUPERUSER}{password}@127.0.0.1:{port}/{database}")
    }

    /// An empty database of one test's own.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn database(&self) -> Database<'_> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = format!("test_{}", MADE.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        Database { server: self, name }
    }

    /// Runs statements as the superuser and returns what they print: unaligned rows, no heads.
    ///
    /// # Panics
    /// If one fails.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let done = psql(self.port, self.password.as_deref(), database, statements);
        assert!(done.status.success(), "{statements}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// Stops all its processes: connections stay open, nothing answers.
    pub fn pause(&self) {
        self.daemon.pause();
    }

    /// Lets them go on.
    pub fn resume(&self) {
        self.daemon.resume();
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts it again after [`kill`](Self::kill), on the same port with the same data; waits until it is ready.
    pub fn start_again(&mut self) {
        self.daemon.start_again();
        self.wait_until_ready();
    }

    /// Makes a standby a primary, and waits until it is one.
    pub fn promote(&self) {
        self.sql("postgres", "SELECT pg_promote(true, 60)");
    }

    /// The superuser's password, if it has one.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// What it printed.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.room.path()
    }
}

/// A database that is dropped with this value, whoever still uses it.
#[derive(Debug)]
pub struct Database<'a> {
    server: &'a Postgres,
    name: String,
}

impl Database<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.url_at(self.server.port)
    }

    /// Its address through something that listens on another port.
    pub fn url_at(&self, port: u16) -> String {
        self.server.url_of(&self.name, port)
    }

    /// Runs statements in it as the superuser; see [`Postgres::sql`].
    pub fn sql(&self, statements: &str) -> String {
        self.server.sql(&self.name, statements)
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // A server that was killed has nothing to drop.
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let _done = psql(self.server.port, self.server.password.as_deref(), "postgres", &drop);
    }
}

/// A cluster as `initdb` makes it: once for all tests of this user on this machine.
fn template() -> PathBuf {
    let initdb = binary("initdb");
    let version = initdb.parent().and_then(Path::parent).and_then(Path::file_name).expect("a version");
    let user = std::fs::metadata("/proc/self").expect("/proc is mounted").uid();
    let template = std::env::temp_dir().join(format!("failover-initdb-{}-{user}", version.display()));
    if !template.join("PG_VERSION").exists() {
        let room = Room::new("failover-initdb-");
        let data = room.path().join("data");
        own_directory(&data);
        let how = ["-A", "trust", "-U", SUPERUSER, "-E", "UTF8", "--no-locale", "--no-sync", "--wal-segsize=1", "-D"];
        succeed("initdb", as_server(&initdb).args(how).arg(&data).output());
        // Another process may have been quicker: then there is a whole one already.
        if let Err(error) = std::fs::rename(&data, &template) {
            assert!(template.join("PG_VERSION").exists(), "{}: {error}", template.display());
        }
    }
    template
}

/// A server's program, of the newest version that is installed.
fn binary(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| Some((version.file_name().to_str()?.parse().ok()?, version.path().join("bin"))))
        .filter(|(_, bin)| bin.join(name).exists())
        .collect();
    found.sort();
    let newest = found.pop().map(|(_, bin)| bin.join(name));
    newest.unwrap_or_else(|| panic!("`{name}` is not installed; on Debian: apt-get install {PACKAGE}"))
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// What goes before a program that refuses to run as root.
pub(crate) fn as_server_words() -> Vec<String> {
    let words = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"];
    if is_root() { words.map(str::to_owned).to_vec() } else { Vec::new() }
}

fn as_server(program: &Path) -> Command {
    let mut words = as_server_words();
    words.push(program.display().to_string());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir("/");
    command
}

/// Makes a directory that only the user the server runs as may enter.
fn own_directory(path: &Path) {
    std::fs::create_dir(path).expect("a directory can be made");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).expect("its rights can be set");
    own(path);
}

/// Gives a file to the user the server runs as.
fn own(path: &Path) {
    if is_root() {
        succeed("chown", Command::new("chown").arg("postgres:postgres").arg(path).output());
    }
}

fn succeed(program: &str, done: std::io::Result<Output>) {
    let done = done.unwrap_or_else(|e| panic!("{program} cannot be started: {e}"));
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
}

pub(crate) fn psql(port: u16, password: Option<&str>, database: &str, statements: &str) -> Output {
    let port = port.to_string();
    let whom = ["-h", "127.0.0.1", "-p", &port, "-U", SUPERUSER, "-d", database];
    let how = ["-X", "-q", "-w", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statements];
    let mut command = Command::new(binary("psql"));
    command.args(whom).args(how).env_remove("PGPASSWORD").env("PGOPTIONS", "");
    if let Some(password) = password {
        command.env("PGPASSWORD", password);
    }
    command.output().unwrap_or_else(|e| panic!("psql cannot be started: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_its_data_over_a_kill_and_a_database_goes_with_its_value() {
        let mut server = Postgres::start();
        server.sql("postgres", "CREATE TABLE t (n int); INSERT INTO t VALUES (7)");
        server.kill();
        server.start_again();
        assert_eq!(server.sql("postgres", "SELECT n FROM t"), "7");
        let name = server.database().name().to_owned();
        assert_eq!(server.sql("postgres", &format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'")), "0");
    }

    #[test]
    fn a_standby_follows_and_can_be_promoted() {
        let primary = Postgres::start();
        let standby = Postgres::standby_of(&primary);
        assert_eq!(standby.sql("postgres", "SELECT pg_is_in_recovery()"), "t");
        standby.promote();
        assert_eq!(standby.sql("postgres", "SELECT pg_is_in_recovery()"), "f");
    }

    #[test]
    fn a_password_is_asked_for() {
        let server = PostgresSetup::default().password("pass").start();
        assert!(!psql(server.port(), Some("wrong"), "postgres", "SELECT 1").status.success());
        assert_eq!(server.sql("postgres", "SELECT 1"), "1");
    }
}
