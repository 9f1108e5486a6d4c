//! Which words of a command look like a secret. A command is stored in a file, and stands in the
//! list of processes while it runs.

/// The options of secret managers whose value is a secret itself, without hyphens.
const SECRET_OPTIONS: [&str; 41] = [
    "accesskey",
    "accesstoken",
    "accountkey",
    "adminpassword",
    "apikey",
    "apitoken",
    "authtoken",
    "awssecretaccesskey",
    "bearer",
    "bearertoken",
    "clientsecret",
    "dbpassword",
    "keypass",
    "masterkey",
    "masterpassword",
    "oauthtoken",
    "pass",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "personalaccesstoken",
    "pin",
    "pinvalue",
    "privatekey",
    "proxypassword",
    "pw",
    "pwd",
    "refreshtoken",
    "sastoken",
    "secretaccesskey",
    "secretkey",
    "securitytoken",
    "session",
    "sessiontoken",
    "sharedkey",
    "storepass",
    "token",
    "unlockkey",
    "userpassword",
    "vaulttoken",
];

/// Programs with an option `--password` that has no value: it says what to print.
const PRINT_PASSWORD: [&str; 2] = ["gopass", "lpass"];

/// Programs that sign in with `-u NAME:PASSWORD`, and their options for that.
const SIGN_IN_PROGRAMS: [&str; 5] = ["curl", "curlie", "http", "https", "xh"];
const SIGN_IN_OPTIONS: [&str; 6] = ["-u", "--user", "-U", "--proxy-user", "-a", "--auth"];

/// What the tokens of secret managers and clouds begin with, and how many letters, digits and other
/// characters of tokens follow at least.
const SECRET_BEGINNINGS: [(&str, usize); 32] = [
    // Vault and OpenBao.
    ("hvs.", 9),
    ("hvb.", 9),
    ("hvr.", 9),
    // 1Password, Doppler, Pulumi, age, and a certificate's key.
    ("ops_", 9),
    ("dp.st.", 9),
    ("dp.pt.", 9),
    ("pul-", 30),
    ("AGE-SECRET-KEY-", 9),
    ("-----BEGIN", 0),
    // AWS and Google.
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
    ("ya29.", 9),
    ("GOCSPX-", 9),
    // GitHub, GitLab, and others that give tokens to programs.
    ("ghp_", 9),
    ("gho_", 9),
    ("ghu_", 9),
    ("ghs_", 9),
    ("ghr_", 9),
    ("github_pat_", 9),
    ("glpat-", 9),
    ("gldt-", 9),
    ("xoxb-", 9),
    ("xoxp-", 9),
    ("xapp-", 9),
    ("npm_", 30),
    ("hf_", 30),
    ("sk_live_", 9),
    ("SG.", 40),
    ("dckr_pat_", 9),
    // A JSON Web Token, and a token of ArcGIS.
    ("eyJ", 9),
    ("AAPK", 40),
];

/// What in the command looks like a secret, as a message names it: never the word itself.
pub(super) fn looks_like_a_secret(words: &[String]) -> Option<String> {
    for (at, word) in words.iter().enumerate() {
        let (program, before) = match words.get(..at) {
            Some([program, before @ ..]) => (Some(program), before),
            _ => (None, &[][..]),
        };
        // The first word is the program; at a shell, a variable could be set before it.
        if let (Some(previous), false) = (before.last(), word.is_empty()) {
            let programs = || program.into_iter().chain(before);
            let is_value = is_secret_option(previous)
                && !says_what_to_print(previous, programs())
                && !is_reference(word);
            let signs_in = is_sign_in_option(previous, programs()) && has_password_after_name(word);
            let is_of_sshpass = previous == "-p" && programs().any(|word| stem(word) == "sshpass");
            if is_value || signs_in || is_of_sshpass {
                return Some(format!("the value of `{previous}`"));
            }
        }
        if let Some(what) = in_one_word(word) {
            return Some(what);
        }
        let joined = SIGN_IN_OPTIONS.iter().find_map(|option| {
            let value = word.strip_prefix(option)?;
            let after_sign = value.strip_prefix('=');
            let joined = after_sign.or((!option.starts_with("--")).then_some(value));
            joined.map(|value| (*option, value))
        });
        if let Some((option, value)) = joined {
            let programs = program.into_iter().chain(before);
            if is_sign_in_option(option, programs) && has_password_after_name(value) {
                return Some(format!("the value of `{option}`"));
            }
        }
    }
    None
}

/// The same where the word alone says so.
fn in_one_word(word: &str) -> Option<String> {
    // `--token=…`, `VAULT_TOKEN=…`, `password=…`, `user=ana&password=…`, `https://host/?token=…`
    for part in word.split(['&', '?', ';', ',']) {
        if let Some((name, value)) = part.split_once('=') {
            let is_secret =
                is_secret_option(name) || is_secret_variable(name) || is_secret_name(name);
            // A token has a name in such an address, and a PIN.
            let is_label = word.starts_with("pkcs11:") && name == "token";
            if is_secret && !is_label && !value.is_empty() && !is_reference(value) {
                return Some(format!("the value of `{name}`"));
            }
        }
    }
    // `/password:…`, `-Token:…`
    if let Some((option, value)) = word.split_once(':') {
        let name = option.strip_prefix('/').filter(|name| is_secret_name(name));
        if (name.is_some() || is_secret_option(option)) && !value.is_empty() {
            return Some(format!("the value of `{option}`"));
        }
    }
    // `pass:…` of OpenSSL
    let of_openssl = word.strip_prefix("pass:");
    if of_openssl.is_some_and(|value| !value.is_empty() && !value.starts_with("//")) {
        return Some("a word that begins with `pass:`".into());
    }
    if let Some(name) = secret_in_json(word) {
        return Some(format!("the value of `{name}`"));
    }
    if is_secret_header(word) {
        return Some("a header with a token".into());
    }
    if has_password(word) {
        return Some("the password in an address".into());
    }
    let value = word.split_once('=').map_or(word, |(_, value)| value);
    let begins = [word, value].iter().any(|text| begins_like_a_secret(text));
    begins.then(|| "a word".into())
}

fn begins_like_a_secret(text: &str) -> bool {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-_.+/=~".contains(c);
    SECRET_BEGINNINGS.iter().any(|(start, length)| {
        let rest = text.strip_prefix(start);
        rest.is_some_and(|rest| rest.chars().take_while(|&c| is_of_token(c)).count() >= *length)
    }) || is_old_vault_token(text)
}

/// As Vault made them before its version 1.10.
fn is_old_vault_token(text: &str) -> bool {
    let rest = text.strip_prefix("s.");
    rest.is_some_and(|rest| rest.len() == 24 && rest.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// Where the secret is, in place of the secret: `file:/run/key` and `env:NAME` of OpenSSL, `@FILE`,
/// `-` for the standard input; and what a shell puts in, in the text of a script.
fn is_reference(value: &str) -> bool {
    let value = value.trim_start_matches('"');
    let starts = ["file:", "env:", "fd:", "@/", "$(", "${"];
    value == "-" || starts.iter().any(|start| value.starts_with(start))
}

/// `--password`, `-Token`: an option whose value is a secret.
fn is_secret_option(word: &str) -> bool {
    let name = word.trim_start_matches('-');
    name.len() < word.len() && is_secret_name(name)
}

/// `password`, `api_key`: what a secret is called.
fn is_secret_name(name: &str) -> bool {
    let plain = name.to_ascii_lowercase().replace(['-', '_'], "");
    SECRET_OPTIONS.contains(&&*plain)
}

/// Whether the option only asks to print a password, as `lpass show --password NAME` does.
fn says_what_to_print<'a>(option: &str, mut words: impl Iterator<Item = &'a String>) -> bool {
    option == "--password" && words.any(|word| PRINT_PASSWORD.contains(&&*stem(word)))
}

fn is_sign_in_option<'a>(option: &str, mut words: impl Iterator<Item = &'a String>) -> bool {
    SIGN_IN_OPTIONS.contains(&option) && words.any(|word| SIGN_IN_PROGRAMS.contains(&&*stem(word)))
}

/// `ana:password`.
fn has_password_after_name(word: &str) -> bool {
    let password = word.split_once(':').map(|(_, password)| password);
    password.is_some_and(|password| !password.is_empty() && !password.starts_with("//"))
}

/// The name of a program, without its folder and ending.
fn stem(word: &str) -> String {
    let name = word.rsplit(['/', '\\']).next().unwrap_or(word);
    let name = name.to_ascii_lowercase();
    let name = [".exe", ".cmd", ".bat"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(&name);
    name.to_owned()
}

/// `VAULT_TOKEN`, `BW_SESSION`: a variable that holds a secret, for `env`.
fn is_secret_variable(name: &str) -> bool {
    let is_variable = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let endings = [
        "TOKEN",
        "PASSWORD",
        "PASSPHRASE",
        "SECRET",
        "SESSION",
        "API_KEY",
        "ACCESS_KEY",
    ];
    name.chars().all(is_variable) && endings.iter().any(|ending| name.ends_with(ending))
}

/// `{"password": "…"}`: the name of such a member.
fn secret_in_json(word: &str) -> Option<&str> {
    let mut parts = word.split('"');
    // The text before the first quotation mark, then a name, what follows it, and so on.
    parts.next()?;
    while let (Some(name), Some(after)) = (parts.next(), parts.next()) {
        let value = after.trim_start().strip_prefix(':').map(str::trim);
        let is_text = value.is_some_and(str::is_empty)
            && parts.clone().next().is_some_and(|it| !it.is_empty());
        if is_secret_name(name) && is_text {
            return Some(name);
        }
    }
    None
}

/// `X-Vault-Token: …`, `Authorization: …`: a header line that signs in.
fn is_secret_header(word: &str) -> bool {
    let Some((name, value)) = word.split_once(':') else {
        return false;
    };
    // An option may be in the same word, as in `-HX-Vault-Token: …` or `--header=X-Vault-Token: …`.
    let name = name.to_ascii_lowercase();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_= ".contains(c);
    let endings = [
        "authorization",
        "token",
        "api-key",
        "apikey",
        "cookie",
        "-password",
        "-secret",
    ];
    let is_header = endings.iter().any(|ending| name.ends_with(ending));
    !value.trim().is_empty() && !value.starts_with("//") && name.chars().all(is_name) && is_header
}

/// `https://user:password@host`.
fn has_password(word: &str) -> bool {
    let after_scheme = word.split_once("://").map(|(_, rest)| rest);
    let authority = after_scheme.and_then(|rest| rest.split(['/', '?', '#']).next());
    let user = authority.and_then(|authority| authority.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':'))
}
