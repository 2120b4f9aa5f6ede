//! Kernel messages from `/dev/kmsg`: one record a read, of this boot from its start on.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

use tokio::net::unix::pipe;

use super::Journal;

/// `LOG_DEBUG` of syslog(3): too much, and too little of use.
const DEBUG: u32 = 7;
/// The kernel's longest record (`CONSOLE_EXT_LOG_MAX`).
const RECORD_BYTES: usize = 8192;
/// `O_NONBLOCK` on every architecture we run on.
const O_NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// Copies messages into the journal for as long as it is awaited; returns when they cannot be read.
pub(crate) async fn follow(journal: Journal) {
    if let Err(error) = copy(&journal).await {
        journal.say(&format!("kernel messages cannot be read: {error}"));
    }
}

async fn copy(journal: &Journal) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open("/dev/kmsg")?;
    // Not a pipe, but like one: it can be polled, and a read takes what is there.
    let records = pipe::Receiver::from_file_unchecked(file)?;
    let mut buffer = vec![0; RECORD_BYTES];
    loop {
        records.readable().await?;
        match records.try_read(&mut buffer) {
            Ok(length) => note(journal, &String::from_utf8_lossy(&buffer[..length])),
            // Records were overwritten before we came (EPIPE); the next read goes on after them.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn note(journal: &Journal, record: &str) {
    if let Some((uptime_ms, text)) = parse(record) {
        journal.note(uptime_ms, "kernel", text);
    }
}

/// `6,339,5140900,-;text\n KEY=value…` (Documentation/ABI/testing/dev-kmsg): priority with facility, sequence number,
/// microseconds. What programs wrote there, and debug messages, are left out.
fn parse(record: &str) -> Option<(u64, &str)> {
    let (head, rest) = record.split_once(';')?;
    let mut fields = head.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let uptime_us: u64 = fields.nth(1)?.parse().ok()?;
    let text = rest.lines().next().filter(|text| !text.is_empty())?;
    (priority < DEBUG).then_some((uptime_us / 1000, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_and_what_is_not_the_kernels_is_left_out() {
        for (record, want) in [
            (
                "6,339,5140900,-;NET: Registered\n SUBSYSTEM=net\n",
                Some((5140, "NET: Registered")),
            ),
            ("3,1,0,-,caller=T1;bad; really\n", Some((0, "bad; really"))),
            ("7,1,0,-;debugging\n", None),
            ("12,1,0,-;a program's\n", None),
            ("6,1,0,-;\n", None),
            ("nonsense", None),
            ("6;x", None),
        ] {
            assert_eq!(parse(record), want, "{record:?}");
        }
    }
}
