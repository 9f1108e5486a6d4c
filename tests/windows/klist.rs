// What Windows' own `klist` lists, for wine, which has no such program: the tickets in the file
// that KRB5CCNAME names, because wine's Kerberos is that of the system. The form is Windows'.

use std::fs;

/// Reads the values of a file of tickets in version 4, one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<usize> {
        let bytes = self.take(2)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes).into())
    }

    fn number(&mut self) -> Option<usize> {
        let bytes = self.take(4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.number()?;
        self.take(count)
    }

    /// `ana @ EXAMPLE.COM`
    fn principal(&mut self) -> Option<String> {
        self.number()?;
        let count = self.number()?;
        let realm = String::from_utf8_lossy(self.bytes()?).into_owned();
        let mut parts = Vec::new();
        for _ in 0..count {
            parts.push(String::from_utf8_lossy(self.bytes()?).into_owned());
        }
        Some(format!("{} @ {realm}", parts.join("/")))
    }

    /// Addresses or authorization data, which are left out.
    fn list(&mut self) -> Option<()> {
        for _ in 0..self.number()? {
            self.short()?;
            self.bytes()?;
        }
        Some(())
    }

    /// The client and the server of a ticket.
    fn ticket(&mut self) -> Option<(String, String)> {
        let names = (self.principal()?, self.principal()?);
        // The session key, the times, the flags.
        self.short()?;
        self.bytes()?;
        self.take(4 * 4 + 1 + 4)?;
        self.list()?;
        self.list()?;
        self.bytes()?;
        self.bytes()?;
        Some(names)
    }
}

fn tickets() -> Option<Vec<(String, String)>> {
    let place = std::env::var("KRB5CCNAME").ok()?;
    let content = fs::read(format!("Z:{}", place.strip_prefix("FILE:")?)).ok()?;
    let mut reader = Reader(&content);
    let version = reader.short()?;
    assert_eq!(version, 0x0504);
    let header = reader.short()?;
    reader.take(header)?;
    reader.principal()?;
    let mut tickets = Vec::new();
    while let Some((client, server)) = reader.ticket() {
        // Settings of the file, which are not tickets.
        if !server.starts_with("krb5_ccache_conf_data/") {
            tickets.push((client, server));
        }
    }
    Some(tickets)
}

fn main() {
    let tickets = tickets().unwrap_or_default();
    print!("\r\nCurrent LogonId is 0:0x3e7\r\n\r\nCached Tickets: ({})\r\n", tickets.len());
    for (number, (client, server)) in tickets.iter().enumerate() {
        print!("\r\n#{number}>\tClient: {client}\r\n\tServer: {server}\r\n");
        print!("\tKerbTicket Encryption Type: AES-256-CTS-HMAC-SHA1-96\r\n");
    }
}
