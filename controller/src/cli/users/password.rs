//! `enforcer users password`: a password is typed, or read from standard input; in the arguments every user of the host would see it.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use hyper::Method;
use mesh_proto::message::Secret;

use super::{
    super::{Session, client::read, failure::Failure, secret::ask},
    path,
};
use crate::{
    http::api::{
        passwords::SetPasswordBody,
        users::{UserDoc, WhoDoc},
    },
    state::password::MAX_BYTES,
};

/// Most bytes of two lines.
const MAX_INPUT: u64 = 2 * (MAX_BYTES as u64 + 2);

/// Sets the password of `name`.
pub(super) async fn set(name: &str, stdin: bool, session: &mut Session<'_>) -> Result<(), Failure> {
    let user: UserDoc = read(&session.client.get(&path(name)).await?)?;
    let who: WhoDoc = read(&session.client.get("/whoami").await?)?;
    // Who changes their own shows the one they have.
    let shows = who.user == user.name && user.password_set.is_some();
    let body = match (stdin, io::stdin().is_terminal()) {
        (true, _) => piped(shows)?,
        (false, true) => typed(name, shows)?,
        (false, false) => {
            let text =
                "nobody is here to type a password; give --stdin to read it from standard input";
            return Err(Failure::Usage(text.to_owned()));
        }
    };
    let at = format!("{}/password", path(name));
    session.client.send(Method::PUT, &at, &body).await?;
    eprintln!("{name} signs in with it from now on; who was signed in as {name} is signed out");
    Ok(())
}

/// Takes it away.
pub(super) async fn clear(name: &str, session: &mut Session<'_>) -> Result<(), Failure> {
    let at = format!("{}/password", path(name));
    session.client.delete(&at).await?;
    eprintln!("{name} cannot sign in any more");
    Ok(())
}

fn typed(name: &str, shows: bool) -> Result<SetPasswordBody, Failure> {
    let present = match shows {
        true => Some(Secret::new(ask("your present password: ")?)),
        false => None,
    };
    let password = ask(&format!("new password of {name}: "))?;
    if ask("the same again: ")? != password {
        let text = "the two are not the same; nothing was done";
        return Err(Failure::Local(text.to_owned()));
    }
    let password = Secret::new(password);
    Ok(SetPasswordBody { password, present })
}

fn piped(shows: bool) -> Result<SetPasswordBody, Failure> {
    let lines = io::BufReader::new(io::stdin().take(MAX_INPUT)).lines();
    let lines: Result<Vec<String>, io::Error> = lines.collect();
    let wrong = |why: &str| Failure::Local(format!("standard input: {why}"));
    let lines = lines.map_err(|e| wrong(&e.to_string()))?;
    match (lines.as_slice(), shows) {
        ([password], false) => Ok(SetPasswordBody {
            password: Secret::new(password),
            present: None,
        }),
        ([present, password], true) => Ok(SetPasswordBody {
            password: Secret::new(password),
            present: Some(Secret::new(present)),
        }),
        (_, false) => Err(wrong("one line is read from it, the new password")),
        (_, true) => Err(wrong(
            "two lines are read from it, your present password and the new one",
        )),
    }
}
