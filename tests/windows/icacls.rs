// What Windows' own `icacls` saves, for wine, whose own does nothing: the access list of one path.
// It is what the file `PATH.acl` says, else a list with the user alone on it. Without `/save`,
// nothing is done, as by wine's.

use std::{env, fs, path::Path};

/// Of this program's user in wine.
const PRIVATE: &str = "D:PAI(A;;FA;;;S-1-5-21-0-0-0-1000)";

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let [path, save, to, ..] = &words[..] else {
        return;
    };
    if save != "/save" {
        return;
    }
    if fs::metadata(path).is_err() {
        eprintln!("{path}: The system cannot find the file specified.");
        std::process::exit(2);
    }
    let list = fs::read_to_string(format!("{path}.acl")).unwrap_or_else(|_| PRIVATE.into());
    let name = Path::new(path).file_name().unwrap_or_default();
    let text = format!("{}\r\n{}\r\n", name.to_string_lossy(), list.trim());
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    if let Err(why) = fs::write(to, bytes) {
        eprintln!("{why}");
        std::process::exit(1);
    }
}
