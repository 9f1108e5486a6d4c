// What Windows' own `whoami` lists, for wine, whose own does not list groups: a person's logon at
// the machine. Without `/groups`, what wine's prints.

fn main() {
    if std::env::args().any(|word| word == "/groups") {
        print!("\"NT AUTHORITY\\INTERACTIVE\",\"Well-known group\",\"S-1-5-4\",\"Mandatory group\"\r\n");
        return;
    }
    let variable = |name| std::env::var(name).unwrap_or_default();
    print!("{}\\{}\r\n", variable("USERDOMAIN"), variable("USERNAME"));
}
