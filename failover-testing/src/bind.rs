//! [`Bind`]: an authoritative DNS server (BIND 9) that takes updates.

use std::process::Command;

use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::port;

/// A BIND that is the primary of one zone, on a free port of the loopback.
#[derive(Debug)]
pub struct Bind {
    daemon: Daemon,
    port: u16,
    zone: String,
    _directory: TempDir,
}

/// A key of `hmac-sha256` that the server knows, by its name, with its secret in base64.
#[derive(Debug, Clone, Copy)]
pub struct DnsKey {
    /// Its name.
    pub name: &'static str,
    /// Its secret, in base64.
    pub secret: &'static str,
}

impl Bind {
    /// Starts one with a zone, such as `test.`, that `writer` may update. It knows `reader` too, who may not. The zone has a name server, `ns`, and a name with a
    /// mail exchange, `mail`.
    ///
    /// # Panics
    /// If it is not installed: the message names the package.
    pub fn start(zone: &str, writer: DnsKey, reader: DnsKey) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (port, place) = (port::free(), directory.path().display());
        let key =
            |DnsKey { name, secret }| format!("key \"{name}\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};");
        let configuration = format!(
            "{}
            {}
            options {{
                directory \"{place}\"; pid-file none; session-keyfile \"{place}/session.key\";
                listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
                recursion no; dnssec-validation no; notify no; allow-transfer {{ none; }};
            }};
            controls {{ }};
            zone \"{zone}\" {{ type primary; file \"{place}/zone\"; allow-update {{ key \"{}\"; }}; }};",
            key(writer),
            key(reader),
            writer.name
        );
        let records = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\nmail MX 10 ns\n";
        let file = directory.path().join("named.conf");
        std::fs::write(&file, configuration).expect("a file of our own can be written");
        std::fs::write(directory.path().join("zone"), records).expect("a file of our own can be written");
        let file = file.display().to_string();
        let daemon = Daemon::start("named", "bind9", &[&program(), "-g", "-c", &file], &directory.path().join("log"));
        let mut server = Self { daemon, port, zone: zone.to_owned(), _directory: directory };
        server.wait_until_ready();
        server
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts it again with what it kept, after [`kill`](Self::kill).
    pub fn start_again(&mut self) {
        self.daemon.start_again();
        self.wait_until_ready();
    }

    /// It listens before it has read its zone.
    fn wait_until_ready(&mut self) {
        let (port, zone) = (self.port, self.zone.clone());
        self.daemon.wait_until(|| dig(port, &zone, "SOA").is_ok_and(|found| !found.is_empty()));
    }

    /// What `dig` finds: one line for each record, as `name ttl class type data` with single blanks.
    ///
    /// # Panics
    /// If `dig` is not installed or fails.
    pub fn dig(&self, name: &str, kind: &str) -> Vec<String> {
        dig(self.port, name, kind).unwrap_or_else(|error| panic!("dig {name} {kind}: {error}"))
    }
}

fn dig(port: u16, name: &str, kind: &str) -> Result<Vec<String>, String> {
    let port = port.to_string();
    let found = Command::new("dig")
        .args(["@127.0.0.1", "-p", &port, "+tcp", "+noall", "+answer", "+norecurse", "+tries=1", name, kind])
        .output()
        .unwrap_or_else(|error| panic!("dig cannot be run ({error}); on Debian: apt-get install bind9-dnsutils"));
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    if !found.status.success() {
        return Err(text);
    }
    Ok(text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
}

/// Debian keeps it where not everybody's `PATH` looks.
fn program() -> String {
    let debian = "/usr/sbin/named";
    if std::path::Path::new(debian).exists() { debian.to_owned() } else { "named".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_serves_its_zone_and_is_back_after_a_kill() {
        let key = |name| DnsKey { name, secret: "c2VjcmV0IHNlY3JldCBzZWNyZXQ=" };
        let mut server = Bind::start("test.", key("writer"), key("reader"));
        assert_eq!(server.dig("ns.test.", "A"), ["ns.test. 60 IN A 127.0.0.1"]);
        server.kill();
        server.start_again();
        assert_eq!(server.dig("nobody.test.", "A"), [""; 0]);
    }
}
