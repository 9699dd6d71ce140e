//! One command of the host's, run to its end or to its deadline, and then gone with everything it started in its group.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use crate::error::Invalid;

/// The most bytes of what a command writes that are kept: its end, where the reason for a failure is.
const KEPT: usize = 1024;

/// For how long what a command has written is waited for after its end: a process that it left behind may hold the pipe open for ever.
const LINGER: Duration = Duration::from_millis(100);

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandLine {
    program: OsString,
    arguments: Vec<OsString>,
}

impl CommandLine {
    /// The words of a command line; no shell looks at them. `field` names it in the error.
    pub(crate) fn new(field: &str, words: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self, Invalid> {
        let mut words = words.into_iter().map(Into::into);
        match words.next().filter(|program: &OsString| !program.is_empty()) {
            Some(program) => Ok(Self { program, arguments: words.collect() }),
            None => Err(Invalid::new(field, "", "a command must name a program")),
        }
    }

    /// The program's name, for people; its arguments may hold secrets.
    pub(crate) fn program(&self) -> std::borrow::Cow<'_, str> {
        self.program.to_string_lossy()
    }

    /// Runs it, with these variables added to the environment and without input, until it ends or `expired` completes; then it is
    /// killed, with its process group. Dropping the future kills it too. Returns the end of what it wrote.
    ///
    /// # Errors
    /// In words: it could not be started, ended badly, or did not end in time; and the end of what it wrote.
    pub(crate) async fn run(
        &self,
        environment: &[(&str, String)],
        expired: impl Future<Output = ()>,
    ) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let mut running = Running(command.spawn().map_err(|e| format!("it could not be started: {e}"))?);
        let (mut out, mut err) = (Tail::default(), Tail::default());
        let (stdout, stderr) = (running.0.stdout.take(), running.0.stderr.take());
        let ended = {
            let reading = async { tokio::join!(out.read(stdout), err.read(stderr)) };
            tokio::select! {
                ended = running.ended(reading) => match ended {
                    Ok(status) if status.success() => Ok(()),
                    Ok(status) => Err(format!("it ended with {status}")),
                    Err(e) => Err(format!("nobody knows how it ended: {e}")),
                },
                () = expired => Err("it did not end in time and was killed".to_owned()),
            }
        };
        let said = [out.text(), err.text()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
        match ended {
            Ok(()) => Ok(said),
            Err(why) if said.is_empty() => Err(why),
            Err(why) => Err(format!("{why}: {said}")),
        }
    }
}

/// A command under way. Dropped before it has ended, its whole group is killed.
struct Running(Child);

impl Running {
    /// Waits for its end, and for the end of what it writes unless somebody else holds on to that.
    async fn ended(&mut self, reading: impl Future) -> std::io::Result<std::process::ExitStatus> {
        tokio::pin!(reading);
        let mut read = false;
        loop {
            tokio::select! {
                status = self.0.wait() => {
                    if !read {
                        let _held_open = tokio::time::timeout(LINGER, &mut reading).await;
                    }
                    return status;
                }
                _ = &mut reading, if !read => read = true,
            }
        }
    }
}

/// The end of what was written.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    async fn read(&mut self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let mut buffer = [0; KEPT];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            self.0.extend_from_slice(&buffer[..n]);
            let surplus = self.0.len().saturating_sub(KEPT);
            self.0.drain(..surplus);
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).trim().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Known only as long as it has not been reaped: the number cannot have been given to a stranger meanwhile.
        #[cfg(unix)]
        if let Some(leader) = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            let _gone = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> CommandLine {
        CommandLine::new("command", ["/bin/sh", "-c", script]).unwrap()
    }

    #[tokio::test]
    async fn it_is_told_how_a_command_ended() {
        let never = std::future::pending;
        assert_eq!(
            shell("test \"$FAILOVER_X\" = 7").run(&[("FAILOVER_X", "7".to_owned())], never()).await,
            Ok(String::new())
        );
        let failed = shell("exit 3").run(&[], never()).await.unwrap_err();
        assert!(failed.contains('3'), "{failed}");
        assert_eq!(shell("echo yes").run(&[], never()).await, Ok("yes".to_owned()));
        let said = shell("echo no >&2; exit 3").run(&[], never()).await.unwrap_err();
        assert!(said.ends_with("3: no"), "{said}");
        let long = shell("yes | head -c 100000; echo end").run(&[], never()).await.unwrap();
        assert!(long.len() <= KEPT && long.ends_with("end"), "{}", long.len());
        let absent = CommandLine::new("command", ["/no/such/program"]).unwrap().run(&[], never()).await.unwrap_err();
        assert!(absent.starts_with("it could not be started"), "{absent}");
    }

    #[tokio::test]
    async fn one_that_leaves_a_process_behind_is_not_waited_for() {
        let line = shell("sleep 30 & echo done");
        let ended = tokio::time::timeout(Duration::from_secs(10), line.run(&[], std::future::pending())).await;
        assert_eq!(ended, Ok(Ok("done".to_owned())));
    }

    #[tokio::test]
    async fn at_its_deadline_a_command_is_gone_with_everything_it_started() {
        let room = std::env::temp_dir().join(format!("failover-command-{}", std::process::id()));
        let _earlier = std::fs::remove_file(&room);
        // The child of the command writes down who it is, and would live for an hour.
        let line =
            shell(&format!("sh -c 'echo $$ > {0}.new; mv {0}.new {0}; sleep 3600' & sleep 3600", room.display()));
        let written = async {
            while !room.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = line.run(&[], written).await.unwrap_err();
        assert_eq!(ended, "it did not end in time and was killed");
        let child = std::fs::read_to_string(&room).unwrap().trim().parse().unwrap();
        let child = rustix::process::Pid::from_raw(child).unwrap();
        // Killed is not reaped: a dead process that nobody has collected yet can still be asked for.
        let gone = || rustix::process::test_kill_process(child).is_err() || is_zombie(child);
        tokio::time::timeout(Duration::from_secs(10), async {
            while !gone() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("what the command started lives on");
        std::fs::remove_file(&room).unwrap();
    }

    fn is_zombie(process: rustix::process::Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
        stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
    }

    #[test]
    fn a_command_without_a_program_is_refused() {
        let refused = CommandLine::new("witness", [""; 0]).unwrap_err().to_string();
        assert_eq!(refused, "witness is ``: a command must name a program");
        assert!(CommandLine::new("witness", ["", "x"]).is_err());
    }
}
