//! Runs the host's tools: their output, or a sentence that says which tool failed, what it said last and which package
//! has it.

use std::io;
use std::process::Command;

/// Lines of a failed tool's complaint that are shown.
const TAIL_LINES: usize = 6;

/// Why a tool of the host did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The program is not installed.
    #[error("`{program}` is missing on this host: apt-get install {package}")]
    Missing {
        /// Program's name.
        program: String,
        /// Debian package that has it.
        package: &'static str,
    },
    /// The program could not be started.
    #[error("starting `{program}`")]
    Start {
        /// Program's name.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The program ended with an error.
    #[error("`{program}` failed ({status}); it said:\n{said}")]
    Failed {
        /// Program's name.
        program: String,
        /// Exit status.
        status: std::process::ExitStatus,
        /// The end of its standard error.
        said: String,
    },
}

/// Runs a tool to its end and gives what it wrote; `package` is the cure when it is missing.
///
/// # Errors
/// When the tool is missing or fails.
pub(super) fn run(command: &mut Command, package: &'static str) -> Result<Vec<u8>, ToolError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("LC_ALL", "C.UTF-8")
        .output()
        .map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ToolError::Missing {
                program: program.clone(),
                package,
            },
            _ => ToolError::Start {
                program: program.clone(),
                source,
            },
        })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let said = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
    Err(ToolError::Failed {
        program,
        status: output.status,
        said,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_names_its_package() {
        let error = run(&mut Command::new("no-such-tool-here"), "kmod").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`no-such-tool-here` is missing on this host: apt-get install kmod"
        );
    }

    #[test]
    fn a_failed_tool_is_quoted() {
        let error = run(
            Command::new("sh").args(["-c", "echo told you >&2; exit 3"]),
            "dash",
        )
        .unwrap_err();
        assert!(error.to_string().contains("told you"), "{error}");
    }
}
