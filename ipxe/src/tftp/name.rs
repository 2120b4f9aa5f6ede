//! File names as boot ROMs write them, made into names a boot authority can look up.

/// Why a name is not looked up at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left of it.
    #[error("the file name is empty")]
    Empty,
    /// It climbs out of the folder.
    #[error("the file name contains '..'")]
    Climbs,
    /// Control characters, or bytes that are no text.
    #[error("the file name is not plain text")]
    NotText,
}

/// A name without leading slashes, with forward slashes, never with `..` as a part of its path.
///
/// Some PXE ROMs send the DHCP option's end mark (0xFF) or padding along with the name (TRAPS 21); Windows' boot manager
/// writes backslashes; the Raspberry Pi asks for `<serial>//start4.elf` when its prefix ends in a slash.
///
/// # Errors
/// When nothing can be looked up by it.
pub fn clean_name(raw: &[u8]) -> Result<String, NameError> {
    let text = text_of(raw)?;
    if text.chars().any(char::is_control) {
        return Err(NameError::NotText);
    }
    let parts: Vec<&str> = text
        .split(['/', '\\'])
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(NameError::Climbs);
    }
    if parts.is_empty() {
        return Err(NameError::Empty);
    }
    Ok(parts.join("/"))
}

/// The text in front of the garbage that ROMs leave at the end of the name.
fn text_of(raw: &[u8]) -> Result<&str, NameError> {
    let garbage = |b: &u8| *b == 0xFF || b.is_ascii_control() || *b == b' ';
    let end = raw.iter().rposition(|b| !garbage(b)).map_or(0, |at| at + 1);
    match std::str::from_utf8(&raw[..end]) {
        Ok(text) => Ok(text),
        Err(e) => {
            // Only a tail may be garbage: after it comes no letter any more.
            let (head, tail) = raw[..end].split_at(e.valid_up_to());
            if tail.iter().any(u8::is_ascii_graphic) {
                return Err(NameError::NotText);
            }
            std::str::from_utf8(head).map_err(|_| NameError::NotText)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &[u8], expected: Result<&str, NameError>) {
        let shown = String::from_utf8_lossy(raw).into_owned();
        assert_eq!(
            clean_name(raw),
            expected.map(str::to_owned),
            "{raw:02x?} {shown}"
        );
    }

    #[test]
    fn names_of_real_roms_are_found() {
        check(b"undionly.kpxe", Ok("undionly.kpxe"));
        check(b"/ipxe.efi", Ok("ipxe.efi"));
        check(b"///efi//ipxe.efi", Ok("efi/ipxe.efi"));
        check(b"\\boot\\x64\\bootmgr.exe", Ok("boot/x64/bootmgr.exe"));
        check(b"./ipxe.efi", Ok("ipxe.efi"));
        check(b"ipxe.efi\xff", Ok("ipxe.efi"));
        check(b"ipxe.efi\xff\xff\xff", Ok("ipxe.efi"));
        check(b"ipxe.efi\x80\xfe\xff", Ok("ipxe.efi"));
        check(b"ipxe.efi\r\n", Ok("ipxe.efi"));
        check(b"12345678/start4.elf", Ok("12345678/start4.elf"));
        check("Gerät/kernel".as_bytes(), Ok("Gerät/kernel"));
        check(b"..hidden/a..b", Ok("..hidden/a..b"));
    }

    #[test]
    fn names_that_climb_or_are_no_text_are_refused() {
        check(b"", Err(NameError::Empty));
        check(b"//", Err(NameError::Empty));
        check(b"\xff\xff", Err(NameError::Empty));
        check(b"../etc/shadow", Err(NameError::Climbs));
        check(b"a/../../b", Err(NameError::Climbs));
        check(b"a\\..\\b", Err(NameError::Climbs));
        check(b"/..", Err(NameError::Climbs));
        check(b"..\xff", Err(NameError::Climbs));
        check(b"a\nb", Err(NameError::NotText));
        check(b"a\x1b[0mb", Err(NameError::NotText));
        check(b"a\0b", Err(NameError::NotText));
        check(b"a\xffb", Err(NameError::NotText));
        check("a\u{85}b".as_bytes(), Err(NameError::NotText));
    }
}
