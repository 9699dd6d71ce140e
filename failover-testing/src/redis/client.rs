//! Just enough of the protocol (redis.io/docs/reference/protocol-spec) to tell a server what a test needs.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Runs a command on a connection of its own and returns its answer as text, the parts of an array on lines of their own.
///
/// # Errors
/// The server's own, as text, or that of the connection.
pub fn command(port: u16, password: Option<&str>, parts: &[&str]) -> io::Result<String> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    if let Some(password) = password {
        ask(&mut stream, &["AUTH", password])?;
    }
    ask(&mut stream, parts)
}

fn ask(stream: &mut BufReader<TcpStream>, parts: &[&str]) -> io::Result<String> {
    let bulk = |part: &&str| format!("${}\r\n{part}\r\n", part.len());
    let request: String = std::iter::once(format!("*{}\r\n", parts.len())).chain(parts.iter().map(bulk)).collect();
    stream.get_mut().write_all(request.as_bytes())?;
    answer(stream)
}

fn answer(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end();
    let strange = || io::Error::other(format!("a strange answer: {line}"));
    let (kind, rest) = line.split_at_checked(1).ok_or_else(strange)?;
    let length = || rest.parse::<i64>().map_err(|_| strange());
    match kind {
        "+" | ":" => Ok(rest.to_owned()),
        "-" => Err(io::Error::other(rest.to_owned())),
        "$" => {
            let Ok(length) = usize::try_from(length()?) else { return Ok("(nil)".to_owned()) };
            let mut bytes = vec![0; length + 2];
            stream.read_exact(&mut bytes)?;
            bytes.truncate(length);
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        "*" => {
            let mut parts = Vec::new();
            for _ in 0..length()? {
                parts.push(answer(stream)?);
            }
            Ok(parts.join("\n"))
        }
        _ => Err(strange()),
    }
}
