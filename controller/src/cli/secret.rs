//! Secrets come from a file or standard input: arguments are seen by every user of the host.

use std::io::Read as _;

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
