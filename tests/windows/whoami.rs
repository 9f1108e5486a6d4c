// What Windows' own `whoami` lists, for wine, whose own lists neither groups nor identifiers: the
// group of the logon that AGE_OAUTH_TEST_LOGON names, and without it that of a person at the
// machine. `unknown` is a `whoami` that does not answer.

/// Of this program's user in wine.
const USER: &str = "S-1-5-21-0-0-0-1000";

fn main() {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let name = format!("{}\\{}", variable("USERDOMAIN"), variable("USERNAME"));
    let has = |wanted| std::env::args().any(|word| word == wanted);
    if has("/groups") {
        let (group, identifier) = match &*variable("AGE_OAUTH_TEST_LOGON") {
            "batch" => ("BATCH", "S-1-5-3"),
            "service" => ("SERVICE", "S-1-5-6"),
            "network" => ("NETWORK", "S-1-5-2"),
            "unknown" => std::process::exit(1),
            _ => ("INTERACTIVE", "S-1-5-4"),
        };
        print!("\"NT AUTHORITY\\{group}\",\"Well-known group\",\"{identifier}\",\"Mandatory group\"\r\n");
    } else if has("/user") {
        print!("\"{name}\",\"{USER}\"\r\n");
    } else {
        print!("{name}\r\n");
    }
}
