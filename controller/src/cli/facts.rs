//! `enforcer machines facts`: what a machine is made of, and how that changed.

use std::fmt::Write as _;

use mesh_proto::facts::HardwareFacts;

use super::{
    Session,
    client::{encode, read},
    failure::Failure,
    output::{Output, dash, size, table, when},
};
use crate::http::api::facts::FactsDoc;

/// Shows it.
pub(super) async fn run(
    machine: &str,
    history: bool,
    output: &Output,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let path = format!("/machines/{}/facts", encode(machine));
    let value = session.client.get(&path).await?;
    if session.printed(output, &value)? {
        return Ok(());
    }
    let document: FactsDoc = read(&value)?;
    let text = if history {
        changes(&document, session)
    } else {
        let facts: HardwareFacts = read(&document.facts)?;
        format!(
            "{}told        {}\n",
            hardware(&facts),
            when(document.at, session.now)
        )
    };
    session.text(&text)
}

fn changes(document: &FactsDoc, session: &Session<'_>) -> String {
    let rows: Vec<[String; 2]> = document
        .history
        .iter()
        .map(|change| {
            let what = match change.what.as_slice() {
                [] => "first sight".to_owned(),
                what => what.join(", "),
            };
            [when(change.at, session.now), what]
        })
        .collect();
    table(&rows)
}

fn hardware(facts: &HardwareFacts) -> String {
    let board = [&facts.smbios.vendor, &facts.smbios.product];
    let board: Vec<&str> = board.into_iter().flatten().map(String::as_str).collect();
    let line = |name: &str, value: String| [name.to_owned(), value];
    let mut rows = vec![
        line("machine", board.join(" ")),
        line("serial", dash(facts.smbios.serial.as_ref())),
        line("uuid", dash(facts.smbios.uuid.as_ref())),
        line("firmware", format!("{:?}", facts.firmware).to_lowercase()),
        line(
            "processor",
            format!(
                "{}, {} threads",
                dash(facts.cpu.model.as_ref()),
                facts.cpu.threads
            ),
        ),
        line("memory", size(facts.memory.bytes)),
        line("kernel", dash(facts.kernel.as_ref())),
    ];
    for nic in &facts.nics {
        let mut text = format!("{} {}", nic.name, nic.mac);
        let _ = write!(
            text,
            ", {}, {}",
            dash(nic.driver.as_ref()),
            if nic.link { "link" } else { "no link" }
        );
        if let Some(speed) = nic.speed_mbps {
            let _ = write!(text, ", {speed} Mbit/s");
        }
        rows.push(line("nic", text));
    }
    for disk in &facts.disks {
        let mut text = format!("{} {}", disk.name, size(disk.bytes));
        let _ = write!(
            text,
            ", {}, serial {}",
            dash(disk.model.as_ref()),
            dash(disk.serial.as_ref())
        );
        rows.push(line("disk", text));
    }
    table(&rows)
}
