//! Agents that are not there, for benches and for attempts that must fail. Each command is run on a host of the lab.
//!
//! * `lab-mesh links CONTROLLER FIRST COUNT TOKENS`: so many agents, one address each from FIRST on, have keys certified by the tokens of
//!   a file (one a line), say `certified COUNT in SECONDS s`, dial all at once, say `linked COUNT in SECONDS s; …`, and stay until the
//!   process ends.
//! * `lab-mesh enrol CONTROLLER MAC SECRET`: asks for a key with a boot's secret, and prints `issued` or `refused CODE: TEXT`.

mod links;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use mesh_net::{
    AgentEndpoint, CaTrust, EnrolAs, EnrolError, EnrolProof, NodeKey, enrol, tls::system_clock,
};
use mesh_proto::message::{Secret, enrol::KeyKind};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["links", controller, first, count, tokens] => {
            let tokens = std::fs::read_to_string(tokens)?;
            let tokens: Vec<Secret> = tokens.lines().map(Secret::new).collect();
            links::run(at(controller)?, first.parse()?, count.parse()?, tokens).await
        }
        ["enrol", controller, mac, secret] => by_secret(at(controller)?, mac, secret).await,
        _ => bail!("usage: see the first lines of lab-mesh"),
    }
}

fn at(text: &str) -> Result<SocketAddr> {
    text.parse().context("a controller is ADDRESS:PORT")
}

async fn by_secret(controller: SocketAddr, mac: &str, secret: &str) -> Result<()> {
    let endpoint = AgentEndpoint::bind((Ipv4Addr::UNSPECIFIED, 0).into(), system_clock())?;
    let who = EnrolAs {
        key: KeyKind::Boot,
        proof: EnrolProof::Boot {
            mac: mac.to_owned(),
            secret: Secret::new(secret),
        },
        trust: CaTrust::Shown,
        boot_id: links::boot_id(0),
        agent: "lab".to_owned(),
        facts: links::facts(0),
    };
    match enrol(&endpoint, controller, &NodeKey::generate()?, &who, |_| {}).await {
        Ok(_) => println!("issued"),
        Err(EnrolError::Refused(refusal)) => {
            println!("refused {:?}: {}", refusal.code, refusal.text);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
