//! Access lists in Windows' notation (SDDL): who may change what, and who may see it.

/// What a path is to a program: which rights let others replace the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The program itself.
    File,
    /// The folder that it is in, where libraries are looked up, too.
    Folder,
    /// A folder above that.
    Above,
}

/// Those whom an entry may let change a program: the system, administrators of the machine and the
/// domain, the owner, and the installer of Windows.
const ADMINISTRATORS: [&str; 8] = [
    "SY",
    "BA",
    "LA",
    "DA",
    "EA",
    "OW",
    "CO",
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
];

/// Whether a descriptor lets others than `user` and administrators change what it belongs to.
pub(super) fn lets_others_change(descriptor: &str, user: &str, place: Place) -> bool {
    has_no_list(descriptor)
        || effective(descriptor)
            .filter(|entry| entry.who != user && !ADMINISTRATORS.contains(&entry.who))
            .any(|entry| changes(entry.rights, place))
}

/// Whether these rights are enough to change or replace what is there. Unknown ones are.
fn changes(rights: &str, place: Place) -> bool {
    let decisive = match place {
        Place::File => REPLACE | GENERIC_WRITE | WRITE_DATA | APPEND_DATA,
        Place::Folder => REPLACE | GENERIC_WRITE | WRITE_DATA | DELETE_CHILD,
        // Everyone may create folders at the root of a disk, which replaces nothing.
        Place::Above => REPLACE | DELETE_CHILD,
    };
    bits(rights) & decisive != 0
}

const READ_DATA: u32 = 0x1;
const WRITE_DATA: u32 = 0x2;
const APPEND_DATA: u32 = 0x4;
const DELETE_CHILD: u32 = 0x40;
const GENERIC_READ: u32 = 0x8000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
/// Delete; change the access list; become the owner; everything, as a generic right.
const REPLACE: u32 = 0x0001_0000 | 0x0004_0000 | 0x0008_0000 | 0x1000_0000;

/// Of some rights, those that decide here. Unknown ones are all of them.
fn bits(rights: &str) -> u32 {
    if let Some(digits) = rights.strip_prefix("0x") {
        return u32::from_str_radix(digits, 16).unwrap_or(u32::MAX);
    }
    let letters = rights.as_bytes().chunks(2);
    letters.fold(0, |bits, pair| {
        bits | match pair {
            // Executing, attributes, and reading the access list.
            b"FX" | b"GX" | b"RC" | b"SW" | b"WP" | b"LO" | b"RP" | b"CR" => 0,
            b"FR" | b"CC" => READ_DATA,
            b"GR" => GENERIC_READ,
            b"DC" => WRITE_DATA,
            b"LC" => APPEND_DATA,
            b"DT" => DELETE_CHILD,
            b"FW" => WRITE_DATA | APPEND_DATA,
            _ => u32::MAX,
        }
    })
}

/// Whom a descriptor lets read or change a file with a secret, besides its owner, the system,
/// administrators, and the accounts that are named on the list. `None` where it admits no others.
pub(super) fn stranger(descriptor: &str) -> Option<String> {
    const DECISIVE: u32 =
        READ_DATA | WRITE_DATA | APPEND_DATA | REPLACE | GENERIC_READ | GENERIC_WRITE;
    if has_no_list(descriptor) {
        return Some(described("WD"));
    }
    effective(descriptor)
        .find(|entry| bits(entry.rights) & DECISIVE != 0 && !is_account(entry.who))
        .map(|entry| described(entry.who))
}

/// Whether it is the owner, the system, an administrator, or one that is on a list only where a
/// person named it: an account of a person or a service, or a group with a number of its own, which
/// cannot be told from an account. Unknown ones are not.
fn is_account(who: &str) -> bool {
    // The accounts of services that have none of their own; and the identifiers that have letters.
    const OTHERS: [&str; 8] = [
        "LS",
        "NS",
        "S-1-5-18",
        "S-1-5-19",
        "S-1-5-20",
        "S-1-5-32-544",
        "S-1-3-0",
        "S-1-3-4",
    ];
    // The first number that Windows gives to an account or a group that is created.
    const FIRST_CREATED: u32 = 1000;
    // The first administrator; the administrators of a domain and of a forest.
    const BUILT_IN: [u32; 3] = [500, 512, 519];
    if ADMINISTRATORS.contains(&who) || OTHERS.contains(&who) {
        return true;
    }
    let numbers: Option<Vec<u32>> = who
        .strip_prefix("S-1-")
        .and_then(|rest| rest.split('-').map(|number| number.parse().ok()).collect());
    match numbers.as_deref() {
        // Of a machine or a domain.
        Some([5, 21, _, _, _, number]) => *number >= FIRST_CREATED || BUILT_IN.contains(number),
        Some(
            // Of Entra ID, of a service, of a web application, of a container.
            [12, 1, _, _, _, _] | [5, 80 | 82, _, _, _, _, _] | [5, 93, 2, _],
        ) => true,
        _ => false,
    }
}

/// As people know them, with the identifier, because Windows translates the names.
fn described(who: &str) -> String {
    const KNOWN: [(&str, &str, &str); 8] = [
        ("WD", "S-1-1-0", "Everyone"),
        ("AU", "S-1-5-11", "Authenticated Users"),
        ("BU", "S-1-5-32-545", "Users"),
        ("BG", "S-1-5-32-546", "Guests"),
        ("IU", "S-1-5-4", "INTERACTIVE"),
        ("NU", "S-1-5-2", "NETWORK"),
        ("AN", "S-1-5-7", "ANONYMOUS LOGON"),
        ("AC", "S-1-15-2-1", "ALL APPLICATION PACKAGES"),
    ];
    let known = KNOWN
        .into_iter()
        .find(|(letters, number, _)| who == *letters || who == *number);
    match known {
        Some((_, number, name)) => format!("{name} ({number})"),
        None if who == "DU" || (who.starts_with("S-1-5-21-") && who.ends_with("-513")) => {
            format!("Domain Users ({who})")
        }
        None => who.to_owned(),
    }
}

/// What `icacls` saved: UTF-16, with or without a byte order mark.
pub(super) fn saved(bytes: &[u8]) -> Option<String> {
    let units: Vec<u16> = bytes
        .chunks(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or_default()]))
        .collect();
    let texts = [
        String::from_utf16(&units).ok(),
        String::from_utf8(bytes.to_vec()).ok(),
    ];
    texts.into_iter().flatten().find(|text| text.contains("D:"))
}

/// Whether a descriptor admits others than `user`, the system (SY), administrators (BA) and the
/// folder's owner (OW, CO).
pub(super) fn names_others(descriptor: &str, user: &str) -> bool {
    has_no_list(descriptor)
        || allowing(descriptor)
            .any(|entry| entry.who != user && !["SY", "BA", "OW", "CO"].contains(&entry.who))
}

/// Whether there is no list, which allows everything to everyone. An empty list allows nothing.
fn has_no_list(descriptor: &str) -> bool {
    list(descriptor).contains("NO_ACCESS_CONTROL")
}

/// The part of a descriptor that says who may do what. Before it are the name of a file, which has
/// no colon, the owner and the group.
fn list(descriptor: &str) -> &str {
    descriptor.split_once("D:").map_or("", |(_, list)| list)
}

/// One entry that may allow something.
struct Entry<'a> {
    flags: &'a str,
    rights: &'a str,
    who: &'a str,
}

/// The entries that may allow something for the path itself. Others are for what will be created
/// below it.
fn effective(descriptor: &str) -> impl Iterator<Item = Entry<'_>> {
    let is_for_others =
        |entry: &Entry<'_>| entry.flags.as_bytes().chunks(2).any(|flag| flag == b"IO");
    allowing(descriptor).filter(move |entry| !is_for_others(entry))
}

/// The entries that may allow something, whatever they demand for it.
fn allowing(descriptor: &str) -> impl Iterator<Item = Entry<'_>> {
    list(descriptor).split('(').skip(1).filter_map(|entry| {
        // Behind the name, an entry with a condition has the condition, in parentheses.
        let fields: Vec<_> = entry.split(')').next()?.split(';').collect();
        let [kind, flags, rights, _, _, who, ..] = *fields else {
            return None;
        };
        ALLOWING
            .contains(&kind)
            .then_some(Entry { flags, rights, who })
    })
}

/// The kinds of entries that allow: as such, for a part of an object, and under a condition.
const ALLOWING: [&str; 4] = ["A", "OA", "XA", "ZA"];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strangers_on_an_access_list_are_seen() {
        let user = "S-1-5-21-1-2-3-1001";
        let own = format!("store\r\nD:PAI(A;OICI;FA;;;{user})(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)\r\n");
        assert!(!names_others(&own, user));
        assert!(names_others(
            &format!("{own}(A;OICIID;0x1200a9;;;BU)"),
            user
        ));
        assert!(names_others("D:AI(A;ID;FA;;;S-1-5-21-1-2-3-1002)", user));
        assert!(!names_others("D:AI(D;;FA;;;WD)", user));
        assert!(names_others("D:NO_ACCESS_CONTROL", user));
        assert!(names_others("D:AI(XA;;FR;;;BU;(@User.x == 1))", user));
    }

    #[test]
    fn rule_25_who_may_read_or_change_a_key_file_is_seen() {
        let own = "vault.key\r\nD:PAI(A;;FA;;;S-1-5-21-1-2-3-1001)(A;ID;FA;;;SY)(A;ID;FA;;;BA)";
        assert_eq!(stranger(own), None);
        assert_eq!(stranger("D:"), None);
        let with = |entry: &str| stranger(&format!("{own}{entry}\r\n"));
        // Accounts that an administrator named, of a domain, of Entra ID, of services, of a
        // container; and the administrators of a domain.
        for who in [
            "S-1-5-21-4-5-6-1000",
            "S-1-5-21-4-5-6-4294967295",
            "S-1-5-21-4-5-6-500",
            "S-1-5-21-4-5-6-512",
            "LA",
            "DA",
            "OW",
            "LS",
            "S-1-5-19",
            "S-1-12-1-1-2-3-4",
            "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
            "S-1-5-82-1-2-3-4-5",
            "S-1-5-93-2-1",
        ] {
            assert_eq!(with(&format!("(A;;FR;;;{who})")), None, "{who}");
        }
        for who in [
            "WD",
            "S-1-1-0",
            "AU",
            "S-1-5-11",
            "BU",
            "S-1-5-32-545",
            "BG",
            "DU",
            "DG",
            "LG",
            "IU",
            "NU",
            "AN",
            "AC",
            "S-1-15-2-2",
            "S-1-5-21-4-5-6-513",
            "S-1-5-21-4-5-6-501",
            "S-1-5-80-0",
            "S-1-5-21-4-5-6",
            "S-1-5-21-4-5-6-1000-7",
            "S-1-5-21-4-5-6-x",
            "S-1-5-21-4-5-6-4294967296",
            "S-1-5-32-547",
            "S-1-16-4096",
            "S-1-",
            "s-1-5-18",
            "",
            " ",
        ] {
            assert!(with(&format!("(A;;FR;;;{who})")).is_some(), "{who}");
            assert!(with(&format!("(XA;;FR;;;{who};(@User.x == 1))")).is_some());
            // Entries that refuse, that audit, or that are for what is created below.
            for entry in ["(D;;FA;;;{})", "(A;IO;FA;;;{})", "S:(AU;SAFA;FA;;;{})"] {
                assert_eq!(with(&entry.replace("{}", who)), None, "{entry} {who}");
            }
        }
        for rights in [
            "FA",
            "FR",
            "FW",
            "GA",
            "GR",
            "GW",
            "CC",
            "DC",
            "LC",
            "SD",
            "WD",
            "WO",
            "0x1",
            "0x1200a9",
            "0x1301bf",
            "0x120116",
            "0x10000",
            "0x80000000",
            "0xg",
            "??",
            "F",
            "RCFR",
        ] {
            assert!(with(&format!("(A;;{rights};;;BU)")).is_some(), "{rights}");
        }
        for rights in ["RC", "FX", "LOSW", "0x120080", "0x1200a0", ""] {
            assert_eq!(with(&format!("(A;;{rights};;;BU)")), None, "{rights}");
        }
        assert_eq!(
            stranger("D:NO_ACCESS_CONTROL").unwrap(),
            "Everyone (S-1-1-0)"
        );
        assert_eq!(with("(A;;FR;;;BU)").unwrap(), "Users (S-1-5-32-545)");
        assert_eq!(
            with("(A;;FR;;;S-1-5-21-4-5-6-513)").unwrap(),
            "Domain Users (S-1-5-21-4-5-6-513)"
        );
    }

    #[test]
    fn what_icacls_saves_is_read_with_and_without_a_mark() {
        let text = "schlüssel.key\r\nD:PAI(A;;FA;;;BA)\r\n";
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(saved(&bytes).unwrap(), text);
        let marked = saved(&[&[0xff, 0xfe], &bytes[..]].concat()).unwrap();
        assert_eq!(stranger(&marked), None);
        assert_eq!(saved(text.as_bytes()).unwrap(), text);
        assert!(saved(&bytes[..20]).is_none() && saved(&[]).is_none());
    }

    proptest! {
        #[test]
        fn any_descriptor_is_judged(text in "[DSA:;()0x1S\\-A-Z\r\nä]{0,60}|.{0,60}") {
            let _ = (stranger(&text), saved(text.as_bytes()));
            let _ = names_others(&text, "S-1-5-21-1-2-3-1001");
            let _ = lets_others_change(&text, "S-1-5-21-1-2-3-1001", Place::File);
        }

        #[test]
        fn rule_25_one_entry_for_everyone_is_enough(
            before in "(\\(A;;FA;;;(SY|BA|S-1-5-21-1-2-3-1001)\\)){0,4}",
            after in "(\\((A|D|XA);;FR;;;(SY|BU)\\)){0,4}",
        ) {
            let list = format!("key\r\nD:PAI{before}(A;;FR;;;WD){after}");
            prop_assert_eq!(stranger(&list).unwrap(), "Everyone (S-1-1-0)");
        }
    }

    #[test]
    fn rule_32_who_can_replace_a_program_is_seen() {
        const USER: &str = "S-1-5-21-1-2-3-1001";
        let seen = |list: &str, place| lets_others_change(list, USER, place);
        let programs = "D:AI(A;ID;FA;;;S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464)(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)(A;ID;0x1200a9;;;AC)";
        // What the root of a disk has: everyone may create folders, and modify what is in them.
        let root = "D:PAI(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;OICI;0x1200a9;;;BU)(A;CI;LC;;;AU)(A;OICIIO;SDGXGWGR;;;AU)";
        for place in [Place::File, Place::Folder, Place::Above] {
            assert!(!seen(programs, place), "{place:?}");
            assert!(!seen("D:(D;;FA;;;WD)", place));
            assert!(!seen(&format!("D:(A;;FA;;;{USER})"), place));
            assert!(seen("D:(A;;FA;;;WD)", place));
            assert!(seen("D:(A;ID;0x1301bf;;;AU)", place));
            assert!(seen("D:(A;;??;;;WD)", place));
            // Without any list, everything is allowed to everyone; with an empty one, nothing.
            assert!(seen("D:NO_ACCESS_CONTROL", place));
            assert!(seen("program\r\nD:PAINO_ACCESS_CONTROL\r\n", place));
            assert!(!seen("D:", place) && !seen("D:PAI", place));
            assert!(seen("D:(A;CIOI;FA;;;WD)", place));
            assert!(!seen(
                "NO_ACCESS_CONTROL (A;;FA;;;WD)\r\nD:(A;;FA;;;BA)",
                place
            ));
            // A part of an object, and a condition.
            assert!(seen(
                "D:(OA;;FA;00000000-0000-0000-0000-000000000000;;WD)",
                place
            ));
            assert!(seen(
                "D:(XA;;FA;;;WD;(@User.Title==\"PM\" && (Member_of {SID(BU)})))",
                place
            ));
            assert!(seen("D:(ZA;;FA;;;BU;(@User.x == 1))", place));
            assert!(seen("D:(XA;;FR;;;BA;(a))(A;;FA;;;WD)", place));
            assert!(!seen(
                "D:(XA;;FA;;;BA;(@User.x == 1))(XD;;FA;;;WD;(a))",
                place
            ));
            assert!(!seen("D:(XA;;FR;;;WD;(@User.x == 1))", place));
            // What is audited, and the level of trust, allow nothing.
            assert!(!seen(
                "D:(A;;FA;;;BA)S:(AU;SAFA;FA;;;WD)(ML;;NW;;;HI)",
                place
            ));
        }
        assert!(!seen(root, Place::Above) && !seen(root, Place::Folder));
        assert!(seen("D:(A;;0x2;;;BU)", Place::Folder));
        assert!(!seen("D:(A;;0x2;;;BU)", Place::Above));
    }
}
