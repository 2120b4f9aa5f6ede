//! How the lab runs a controller, shown with a pretend one: this test executable behind a shell script. Stories use the real binary.

use anyhow::{Context, Result};
use enforcer_tests::lab::{Controller, ControllerPlan, Space};
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

/// Set to the pretend controller's arguments when this executable shall be one.
const PRETEND: &str = "ENFORCER_LAB_TEST_PRETEND";

/// Not a claim: the body of the pretend controller, run only through the script that [`pretend_binary`] writes.
#[test]
fn pretend_controller() -> Result<()> {
    let Ok(line) = env::var(PRETEND) else {
        return Ok(());
    };
    let args: Vec<&str> = line.split(' ').collect();
    if args[0] != "serve" {
        println!("asked {line} at {}", env::var("ENFORCER_API_SOCKET")?);
        return Ok(());
    }
    let after = |flag: &str| {
        args.iter()
            .position(|arg| *arg == flag)
            .map(|at| args[at + 1])
    };
    let boots = PathBuf::from(after("--state").context("--state")?);
    fs::create_dir_all(&boots)?;
    let starts = fs::read_dir(&boots)?.count();
    fs::write(boots.join(starts.to_string()), "")?;
    println!(
        "start {starts} with {:?}",
        after("--config").map(fs::read_to_string).transpose()?
    );
    let listener = UnixListener::bind(after("--api-socket").context("--api-socket")?)?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        let lines = BufReader::new(stream.try_clone()?).lines();
        let head: Vec<String> = lines
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        let request = head.first().cloned().unwrap_or_default();
        let path = request.split(' ').nth(1).unwrap_or_default();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}",
            path.len()
        )?;
    }
    Ok(())
}

fn pretend_binary(space: &Space) -> Result<PathBuf> {
    let script = space.folder().file("pretend");
    let exe = env::current_exe()?;
    fs::write(
        &script,
        format!(
            "#!/bin/sh\n{PRETEND}=\"$*\" exec {} --exact pretend_controller --nocapture\n",
            exe.display()
        ),
    )?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

fn start(space: &Space) -> Result<Controller> {
    let plan = ControllerPlan::new()
        .binary(pretend_binary(space)?)
        .config("site = \"here\"\n");
    plan.start(space)
}

#[test]
fn a_killed_controller_starts_again_on_the_same_state() -> Result<()> {
    let space = Space::new("controller")?;
    let mut controller = start(&space)?;
    assert_eq!(
        controller.api("GET", "/api/v1/machines", "")?,
        (200, "/api/v1/machines".to_owned())
    );
    controller.wait_log(
        "start 0 with Some(\"site = \\\"here\\\"\\n\")",
        Duration::from_secs(1),
    )?;
    controller.kill9();
    assert!(controller.api("GET", "/healthz", "").is_err(), "it is gone");
    controller.restart()?;
    controller.wait_log("start 1", Duration::from_secs(1))?;
    assert!(controller.log().contains("start 0"), "the log goes on");
    assert_eq!(fs::read_dir(controller.state())?.count(), 2);
    Ok(())
}

#[test]
fn the_command_line_is_pointed_at_this_controller() -> Result<()> {
    let space = Space::new("cli")?;
    let controller = start(&space)?;
    let output = controller.cli(&["machines", "list"])?;
    let asked = format!(
        "asked machines list at {}",
        controller.api_socket().display()
    );
    assert!(output.contains(&asked), "{output}");
    Ok(())
}

#[test]
fn a_controller_that_ends_at_start_is_an_error_with_its_last_words() -> Result<()> {
    let space = Space::new("broken")?;
    let script = space.folder().file("broken");
    fs::write(&script, "#!/bin/sh\necho port 67 is taken >&2\nexit 3\n")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let error = ControllerPlan::new().binary(script).start(&space).map(drop);
    let text = format!("{:#}", error.expect_err("it ended at once"));
    assert!(
        text.contains("exit status: 3") && text.contains("port 67 is taken"),
        "{text}"
    );
    Ok(())
}
