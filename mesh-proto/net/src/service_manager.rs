//! What a daemon tells the service manager that started it (sd_notify(3)): that it is ready, that it stops, that it is alive.
//! A datagram to the socket named in the environment; without one nobody asked, and nothing is sent.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// How long a word may wait for room in the manager's queue: it is sent from threads that answer others.
const PATIENCE: Duration = Duration::from_millis(200);

/// The manager that waits for word of this process.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    to: SocketAddr,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that the environment names (`NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`); `None` when nobody waits.
    ///
    /// # Errors
    /// When its socket cannot be one.
    pub fn of_this_process() -> io::Result<Option<Self>> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let watchdog = watchdog(
            env::var_os("WATCHDOG_USEC"),
            env::var_os("WATCHDOG_PID"),
            std::process::id(),
        );
        Self::at(&name, watchdog).map(Some)
    }

    /// The one that listens at `name`: a path, or an abstract name behind an `@`. `watchdog` is the longest silence that it
    /// takes for life.
    ///
    /// # Errors
    /// When that is no name of a socket.
    pub fn at(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let to = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            to,
            watchdog,
        })
    }

    /// Everything is bound and answered from now on.
    ///
    /// # Errors
    /// As the socket says.
    pub fn ready(&self) -> io::Result<()> {
        self.tell("READY=1")
    }

    /// Ending was asked for and is under way.
    ///
    /// # Errors
    /// As the socket says.
    pub fn stopping(&self) -> io::Result<()> {
        self.tell("STOPPING=1")
    }

    /// A sign of life for the watchdog.
    ///
    /// # Errors
    /// As the socket says.
    pub fn alive(&self) -> io::Result<()> {
        self.tell("WATCHDOG=1")
    }

    /// How often a sign of life is due: half of the silence that is taken for death, as sd_watchdog_enabled(3) advises.
    #[must_use]
    pub fn sign_every(&self) -> Option<Duration> {
        self.watchdog.map(|longest| longest / 2)
    }

    fn tell(&self, word: &str) -> io::Result<()> {
        self.socket
            .send_to_addr(word.as_bytes(), &self.to)
            .map(drop)
    }
}

/// The watchdog's limit, when it is set for this process and not for the parent whose environment we inherited.
fn watchdog(limit_us: Option<OsString>, pid: Option<OsString>, own: u32) -> Option<Duration> {
    let number = |text: OsString| text.to_str()?.parse::<u64>().ok();
    if let Some(pid) = pid
        && number(pid) != Some(own.into())
    {
        return None;
    }
    let limit_us = limit_us.and_then(number).filter(|us| *us > 0)?;
    Some(Duration::from_micros(limit_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        let len = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    fn tells_all(manager: &ServiceManager, listener: &UnixDatagram) {
        manager.ready().unwrap();
        manager.alive().unwrap();
        manager.stopping().unwrap();
        let words = [heard(listener), heard(listener), heard(listener)];
        assert_eq!(words, ["READY=1", "WATCHDOG=1", "STOPPING=1"]);
    }

    #[test]
    fn a_manager_with_a_path_hears_every_word() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        tells_all(
            &ServiceManager::at(path.as_os_str(), None).unwrap(),
            &listener,
        );
    }

    #[test]
    fn a_manager_with_an_abstract_name_hears_every_word() {
        let name = format!("enforcer-notify-{}", std::process::id());
        let at = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&at).unwrap();
        let named = OsString::from(format!("@{name}"));
        tells_all(&ServiceManager::at(&named, None).unwrap(), &listener);
    }

    #[test]
    fn a_manager_that_has_gone_is_an_error_and_no_wait() {
        let dir = tempfile::tempdir().unwrap();
        let manager = ServiceManager::at(dir.path().join("none").as_os_str(), None).unwrap();
        assert_eq!(manager.ready().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_sign_of_life_is_due_twice_in_the_limit_of_the_process_that_it_is_meant_for() {
        let check = |limit: Option<&str>, pid: Option<&str>, expected: Option<u64>| {
            let limit = watchdog(limit.map(Into::into), pid.map(Into::into), 7);
            let manager = ServiceManager::at(OsStr::new("/nowhere"), limit).unwrap();
            let expected = expected.map(Duration::from_secs);
            assert_eq!(manager.sign_every(), expected, "{limit:?} {pid:?}");
        };
        check(None, None, None);
        check(Some("60000000"), None, Some(30));
        check(Some("60000000"), Some("7"), Some(30));
        check(Some("60000000"), Some("8"), None);
        check(Some("60000000"), Some("x"), None);
        check(Some("0"), None, None);
        check(Some("soon"), Some("7"), None);
    }
}
