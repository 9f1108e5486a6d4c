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
        || allowing(descriptor)
            // Such an entry is for what will be created below.
            .filter(|entry| !entry.flags.as_bytes().chunks(2).any(|flag| flag == b"IO"))
            .filter(|entry| entry.who != user && !ADMINISTRATORS.contains(&entry.who))
            .any(|entry| changes(entry.rights, place))
}

/// Whether these rights are enough to change or replace what is there. Unknown ones are.
fn changes(rights: &str, place: Place) -> bool {
    const WRITE_DATA: u32 = 0x2;
    const APPEND_DATA: u32 = 0x4;
    const DELETE_CHILD: u32 = 0x40;
    // Delete; change the access list; become the owner; everything, as a generic right.
    const REPLACE: u32 = 0x0001_0000 | 0x0004_0000 | 0x0008_0000 | 0x1000_0000;
    const GENERIC_WRITE: u32 = 0x4000_0000;
    let decisive = match place {
        Place::File => REPLACE | GENERIC_WRITE | WRITE_DATA | APPEND_DATA,
        Place::Folder => REPLACE | GENERIC_WRITE | WRITE_DATA | DELETE_CHILD,
        // Everyone may create folders at the root of a disk, which replaces nothing.
        Place::Above => REPLACE | DELETE_CHILD,
    };
    if let Some(digits) = rights.strip_prefix("0x") {
        return u32::from_str_radix(digits, 16).map_or(true, |bits| bits & decisive != 0);
    }
    let mut letters = rights.as_bytes().chunks(2);
    letters.any(|pair| {
        let bits = match pair {
            // Reading, executing, and attributes.
            b"FR" | b"FX" | b"GR" | b"GX" | b"RC" | b"CC" | b"SW" | b"WP" | b"LO" | b"RP"
            | b"CR" => 0,
            b"DC" => WRITE_DATA,
            b"LC" => APPEND_DATA,
            b"DT" => DELETE_CHILD,
            b"FW" => WRITE_DATA | APPEND_DATA,
            _ => REPLACE,
        };
        bits & decisive != 0
    })
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
mod tests {
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
