//! [`Certificates`]: an authority and a server's certificate, made for one test by the `openssl` program.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A certificate authority of a test's own, with one certificate that it signed.
#[derive(Debug)]
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// For a server of this name (a DNS name or an IP address), and no other.
    ///
    /// # Panics
    /// If `openssl` is missing or fails.
    pub fn for_server(name: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let kind = if name.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
        let extensions = format!("subjectAltName={kind}:{name}\nextendedKeyUsage=serverAuth,clientAuth\n");
        std::fs::write(directory.path().join("extensions"), extensions).expect("a file can be written");
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let mut authority = vec!["req", "-x509", "-days", "2", "-subj", "/CN=test authority"];
        authority.extend(["-keyout", "ca.key", "-out", "ca.pem"]);
        authority.extend(key);
        openssl(directory.path(), &authority);
        let mut request = vec!["req", "-subj", "/CN=server", "-keyout", "server.key", "-out", "server.csr"];
        request.extend(key);
        openssl(directory.path(), &request);
        let sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.pem";
        openssl(directory.path(), &sign.split(' ').collect::<Vec<_>>());
        Self { directory }
    }

    /// The authority's certificate, to be trusted (PEM).
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The server's certificate (PEM).
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("server.pem")
    }

    /// The server's private key (PEM).
    pub fn key(&self) -> PathBuf {
        self.directory.path().join("server.key")
    }
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let done = Command::new("openssl").current_dir(directory).args(arguments).output();
    let done = done.unwrap_or_else(|e| panic!("openssl cannot be started ({e}); on Debian: apt-get install openssl"));
    assert!(done.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_its_authoritys_and_for_its_name() {
        let made = Certificates::for_server("store.test");
        let (authority, certificate) = (made.authority(), made.certificate());
        let verify = ["verify", "-CAfile", authority.to_str().unwrap(), "-verify_hostname", "store.test"];
        openssl(made.directory.path(), &[&verify[..], &[certificate.to_str().unwrap()]].concat());
        assert!(made.key().exists());
    }
}
