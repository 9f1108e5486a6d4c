//! Kerberos of its own: the KDC of MIT for the realm `EXAMPLE.COM`, its accounts, tickets and
//! keytabs.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::home::Home;
use super::until;

const PASSWORD: &str = "wonder-Kerb-4711";

/// A KDC that ends when it is dropped.
pub struct Kdc {
    folder: tempfile::TempDir,
    process: Child,
}

impl Drop for Kdc {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Kdc {
    /// A realm with the web server `HTTP/localhost`, whose key is in [`Kdc::web_server_keytab`],
    /// and the person `ana`.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            configure(folder.path(), port);
            if !folder.path().join("principal").exists() {
                admin(
                    folder.path(),
                    "kdb5_util",
                    &["create", "-s", "-P", PASSWORD],
                );
            }
            let mut process = command(folder.path(), "krb5kdc").arg("-n").spawn().unwrap();
            let answers = || TcpStream::connect(("127.0.0.1", port)).is_ok();
            until(|| answers() || process.try_wait().unwrap().is_some());
            if process.try_wait().unwrap().is_some() {
                continue;
            }
            let kdc = Self { folder, process };
            kdc.add("ana");
            kdc.admin(&["addprinc", "-randkey", "HTTP/localhost"]);
            kdc.write_keytab("HTTP/localhost", &kdc.web_server_keytab());
            return kdc;
        }
        panic!("the KDC does not start");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration of the web server, for `KRB5_CONFIG`.
    pub fn configuration(&self) -> String {
        self.file("krb5.conf").display().to_string()
    }

    /// The configuration of the program, where Kerberos asks the name service for other names of a
    /// web server, as it does by default.
    pub fn client_configuration(&self) -> String {
        self.file("client.conf").display().to_string()
    }

    /// The same with this default place of tickets.
    pub fn configuration_with_default(&self, place: &str) -> String {
        let path = self.file("with-default.conf");
        let text = fs::read_to_string(self.client_configuration()).unwrap();
        let default = format!("[libdefaults]\ndefault_ccache_name = {place}\n");
        let text = text.replace("[libdefaults]\n", &default);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// The configuration of a realm whose KDC is at this port.
    pub fn configuration_with_kdc_at(&self, port: u16) -> String {
        let path = self.file(&format!("kdc-at-{port}.conf"));
        fs::write(&path, client_configuration(port)).unwrap();
        path.display().to_string()
    }

    /// The configuration of a realm whose KDC does not answer.
    pub fn configuration_without_kdc(&self) -> String {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        self.configuration_with_kdc_at(port)
    }

    /// How many tickets the KDC has issued so far: those for accounts, and those for web servers.
    pub fn issued(&self) -> [usize; 2] {
        let log = fs::read_to_string(self.file("kdc.log")).unwrap();
        ["AS_REQ", "TGS_REQ"].map(|kind| {
            let issued = log.lines().filter(|line| line.contains("ISSUE"));
            issued
                .filter(|line| line.contains(&format!("{kind} ")))
                .count()
        })
    }

    fn admin(&self, words: &[&str]) {
        admin(self.folder.path(), "kadmin.local", words);
    }

    /// Adds an account, with the password of all.
    pub fn add(&self, name: &str) {
        self.admin(&["addprinc", "-pw", PASSWORD, name]);
    }

    /// Gives the account a new key, so that keytabs with the former one open no ticket.
    pub fn change_key(&self, name: &str) {
        self.admin(&["cpw", "-randkey", name]);
    }

    /// Changes what the KDC allows for the account.
    pub fn modify(&self, name: &str, change: &[&str]) {
        self.admin(&[&["modprinc"], change, &[name]].concat());
    }

    pub fn web_server_keytab(&self) -> String {
        self.file("http.keytab").display().to_string()
    }

    /// A keytab with the key of this account.
    pub fn keytab(&self, name: &str) -> String {
        let path = self.file(&format!("{name}.keytab")).display().to_string();
        self.write_keytab(name, &path);
        format!("FILE:{path}")
    }

    fn write_keytab(&self, name: &str, path: &str) {
        self.admin(&["ktadd", "-k", path, name]);
    }

    /// Signs in as `name`, and returns the place of its tickets for `KRB5CCNAME`.
    pub fn ticket(&self, name: &str) -> String {
        let place = format!(
            "FILE:{}",
            self.file(&format!("tickets-of-{name}")).display()
        );
        self.kinit(name, &place, "10h");
        place
    }

    /// Signs in as `name` at a place of tickets, which may be one for several accounts.
    pub fn kinit(&self, name: &str, place: &str, life: &str) {
        let mut kinit = command(self.folder.path(), "kinit")
            .args(["-l", life, name])
            .env("KRB5CCNAME", place)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = kinit.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, format!("{PASSWORD}\n").as_bytes()).unwrap();
        drop(stdin);
        assert!(kinit.wait().unwrap().success(), "kinit {name}");
    }

    /// The place of tickets of `ana` that have expired.
    pub fn expired_ticket(&self) -> String {
        let place = format!("FILE:{}", self.file("expired").display());
        self.kinit("ana", &place, "1s");
        // Kerberos counts whole seconds, and accepts the last one.
        let begun = Instant::now();
        until(|| begun.elapsed() > Duration::from_secs(3));
        place
    }

    /// A place for tickets that has none.
    pub fn no_ticket(&self) -> String {
        format!("FILE:{}", self.file("none").display())
    }

    /// A folder for the tickets of several accounts.
    pub fn collection(&self) -> String {
        let folder = self.file("collection");
        fs::create_dir_all(&folder).unwrap();
        format!("DIR:{}", folder.display())
    }

    /// Sets the variables of Kerberos for every run in this home.
    pub fn use_in(&self, home: &mut Home, place: &str) {
        home.set("KRB5_CONFIG", &self.client_configuration());
        home.set("KRB5CCNAME", place);
    }
}

fn client_configuration(port: u16) -> String {
    format!(
        "[libdefaults]\ndefault_realm = EXAMPLE.COM\ndns_lookup_kdc = false\n\
         dns_lookup_realm = false\nudp_preference_limit = 1\n[realms]\nEXAMPLE.COM = {{\n kdc = 127.0.0.1:{port}\n}}\n"
    )
}

fn configure(folder: &Path, port: u16) {
    let at = folder.display();
    let client = client_configuration(port);
    // The web server has the key for `localhost`, whatever this machine is called.
    let keep_names = "[libdefaults]\ndns_canonicalize_hostname = false\nrdns = false\n";
    let server = client.replace("[libdefaults]\n", keep_names);
    fs::write(folder.join("krb5.conf"), server).unwrap();
    fs::write(folder.join("client.conf"), client).unwrap();
    let kdc = format!(
        "[kdcdefaults]\nkdc_listen = \"\"\nkdc_tcp_listen = 127.0.0.1:{port}\n[realms]\n\
         EXAMPLE.COM = {{\n database_name = {at}/principal\n key_stash_file = {at}/stash\n\
         acl_file = {at}/acl\n max_life = 10h\n}}\n[logging]\nkdc = FILE:{at}/kdc.log\n"
    );
    fs::write(folder.join("kdc.conf"), kdc).unwrap();
}

/// A program of Kerberos for this realm. The servers are in folders of administrators.
fn command(folder: &Path, program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("env");
    command
        .arg(program)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("KRB5_CONFIG", folder.join("krb5.conf"))
        .env("KRB5_KDC_PROFILE", folder.join("kdc.conf"))
        .env("LC_ALL", "C")
        .env_remove("KRB5CCNAME")
        .env_remove("KRB5_CLIENT_KTNAME")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn admin(folder: &Path, program: &str, words: &[&str]) {
    let done = command(folder, program).args(words).output().unwrap();
    assert!(done.status.success(), "{program} {words:?}");
}
