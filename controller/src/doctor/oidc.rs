//! Whether the identity provider can be used, from this host.

use std::thread;

use super::{Findings, Grade};
use crate::{
    config::Config,
    oidc::{Oidc, OidcSettings},
};

pub(super) fn look(config: &Config, found: &mut Findings) {
    let Some(settings) = config.oidc.clone() else {
        return;
    };
    let issuer = settings.issuer.clone();
    // A thread of its own: who waits here may be a task of another runtime.
    let asked = thread::spawn(move || ask(settings)).join();
    match asked.unwrap_or_else(|_| Err("it could not be asked".to_owned())) {
        Ok(at) => found.good("oidc", format!("{issuer} can be used; codes go to {at}")),
        Err(why) => {
            let cure = "correct `[oidc]`, or let this host reach the provider; passwords, tokens and the local socket open the door meanwhile";
            found.add(
                Grade::Problem,
                "oidc-away",
                format!("{issuer}: {why}"),
                cure,
            );
        }
    }
}

fn ask(settings: OidcSettings) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let asked = runtime.block_on(Oidc::new(settings).look());
    asked.map_err(|error| error.to_string())
}
