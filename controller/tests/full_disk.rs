//! The disk of a running controller is full: nothing is served that could not be written down, people are told the cure,
//! and it goes on by itself when there is room.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod room;

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use room::{Room, Running};

const MAC: &str = "52:54:00:00:00:01";

/// The script that a machine gets; the host's loopback is the room's.
fn script(port: u16, session: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET /boot/{MAC}?session={session}&platform=efi HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// A controller on the room's disk that opens nothing but boot HTTP.
fn start(room: &Room, port: u16) -> Running {
    let config = format!(
        "listen = \"127.0.0.1\"\nhttp_port = {port}\ntftp = false\nmesh = false\n[dhcp]\nmode = \"off\"\n"
    );
    let config = room.file("c.toml", &config);
    let mut serve = room.serve("s", &["--config"]);
    serve.arg(config);
    Running::start(serve)
}

#[test]
fn a_full_disk_sends_machines_to_their_disk_tells_the_cure_and_recovers() {
    let room = Room::with_mounts();
    let disk = room.disk("s", "12m");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let running = start(&room, port);
    let done = |args: &[&str]| {
        let told = room.ask("s", args);
        assert_eq!(told.code, Some(0), "{told:?}");
    };
    // A claim writes the activation with its config: a large one does not fit into what a full disk has left.
    let script_file = room.file("big.ipxe", &format!("# {}\n", "x".repeat(120_000)));
    let big = script_file.to_str().unwrap();
    done(&["machines", "register", MAC, "--name", "web1"]);
    done(&[
        "boot-configs",
        "set",
        "big",
        "--ipxe",
        big,
        "--evidence",
        "callback",
    ]);
    done(&["boot-configs", "activate", "big", "web1"]);
    room.sh(&format!(
        "dd if=/dev/zero of={}/filler bs=4k 2>/dev/null || true",
        disk.display()
    ));

    // What is free inside the database's file is used up first.
    let refused = (0..60).find_map(|n| {
        let name = format!("more{n}");
        let told = room.ask(
            "s",
            &[
                "boot-configs",
                "set",
                &name,
                "--ipxe",
                big,
                "--evidence",
                "callback",
            ],
        );
        (told.code != Some(0)).then_some(told)
    });
    refused
        .unwrap()
        .one_sentence(1, &["is full", "make room on it"]);
    let sent = script(port, "a");
    assert!(
        sent.contains("exit") && !sent.contains("boots its config"),
        "{sent}"
    );
    running.wait_for("the machine is sent to its disk");
    // Looking still works.
    done(&["machines", "list"]);
    done(&["explain", MAC]);

    room.sh(&format!("rm {}/filler", disk.display()));
    let sent = script(port, "b");
    assert!(sent.contains("web1 boots its config"), "{sent}");
    done(&[
        "boot-configs",
        "set",
        "after",
        "--ipxe",
        big,
        "--evidence",
        "callback",
    ]);
}
