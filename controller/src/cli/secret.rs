//! Secrets come from a file or standard input: arguments are seen by every user of the host.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::failure::Failure;

/// Longest secret, bytes: more is another file by mistake.
const MAX_BYTES: u64 = 4096;

/// The secret in a file (`-`: standard input), without the end of its line.
pub(super) fn read_secret(file: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().take(MAX_BYTES).read_to_string(&mut text),
        path => std::fs::File::open(path)
            .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)),
    };
    read.map_err(|e| Failure::Local(format!("cannot read the secret from {file}: {e}")))?;
    let secret = text.trim_end_matches(['\r', '\n']).to_owned();
    if secret.is_empty() {
        return Err(Failure::Local(format!("there is no secret in {file}")));
    }
    Ok(secret)
}

/// A secret from a person, who does not see what they type; or from standard input where nobody types.
pub(super) fn ask(prompt: &str) -> Result<String, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return read_secret("-");
    }
    let cannot = |e: io::Error| Failure::Local(format!("cannot read from the terminal: {e}"));
    let seen = tcgetattr(&stdin).map_err(|e| cannot(e.into()))?;
    let mut unseen = seen.clone();
    unseen.local_modes.remove(LocalModes::ECHO);
    let _ = write!(io::stderr(), "{prompt}");
    tcsetattr(&stdin, OptionalActions::Flush, &unseen).map_err(|e| cannot(e.into()))?;
    let mut text = String::new();
    let read = stdin.lock().take(MAX_BYTES).read_line(&mut text);
    let back = tcsetattr(&stdin, OptionalActions::Flush, &seen);
    let _ = writeln!(io::stderr());
    read.map_err(cannot)?;
    back.map_err(|e| cannot(e.into()))?;
    let secret = text.trim_end_matches(['\r', '\n']).to_owned();
    if secret.is_empty() {
        return Err(Failure::Local("nothing was typed".to_owned()));
    }
    Ok(secret)
}
