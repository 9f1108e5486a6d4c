//! The statements that load a token into PowerShell.
//!
//! PowerShell's script block log records every text that is evaluated. So the statements do not
//! hold the token: they call this program for it, and assign what it prints.

use super::shell::{powershell_operand, Shell, Unquotable, Variable};

/// True in a PowerShell of the system that this program is built for. Windows PowerShell has no
/// `Platform`.
const SAME_SYSTEM: &str = if cfg!(windows) {
    "$PSVersionTable['Platform'] -ne 'Unix'"
} else {
    "$PSVersionTable['Platform'] -eq 'Unix'"
};

/// How the statements get the token.
pub(super) struct TokenCall {
    /// This program, by its full path.
    pub(super) program: String,
    /// Arguments after which it prints the token, its end and its epoch, on lines of their own.
    pub(super) arguments: Vec<String>,
    /// The variables for these three lines.
    pub(super) names: [String; 3],
}

/// The statements that set these variables, in one line, so that it does not matter how PowerShell
/// joins the lines of a program.
///
/// 1. Every variable is removed. An assignment of `$null` also works under `$WhatIfPreference`,
///    where `Remove-Item` does nothing.
/// 2. A PowerShell of another system is refused: there, anybody could have created the path.
/// 3. One call sets the three variables of the token.
/// 4. The epoch is the last line, so that its digits prove that the call printed everything. The
///    exit code does not: it is an old one if the program could not be started. `-match` would
///    overwrite `$Matches`.
pub(super) fn statements(variables: &[Variable], call: &TokenCall) -> Result<String, Unquotable> {
    let removed: Vec<_> = variables.iter().map(without_value).collect();
    let remove = line(&removed)?;
    let is_token = |variable: &&Variable| call.names.contains(&variable.name);
    let others: Vec<_> = variables
        .iter()
        .filter(|variable| variable.value.is_some() && !is_token(variable))
        .cloned()
        .collect();
    let set = line(&others)?;
    let [token, end, epoch] = call.names.each_ref().map(|name| format!("$env:{name}"));
    let program = powershell_operand(&call.program);
    let arguments: Vec<_> = call
        .arguments
        .iter()
        .map(|one| powershell_operand(one))
        .collect();
    let arguments = arguments.join(" ");
    let system = std::env::consts::OS;
    let failing = Shell::Powershell.failing_statement().unwrap_or_default();
    Ok(format!(
        "{remove} \
         if (-not ({SAME_SYSTEM})) {{ throw 'age-oauth: these statements are for {system}, where they were printed' }}; \
         {token}, {end}, {epoch} = if ({SAME_SYSTEM}) {{ & {program} {arguments} }}; \
         if ({epoch} -and -not ({epoch} -replace '[0-9]')) {{ {set} }} else {{ {remove} {failing} }};\n"
    ))
}

fn without_value(variable: &Variable) -> Variable {
    Variable {
        value: None,
        ..variable.clone()
    }
}

/// Statements without the line end.
fn line(variables: &[Variable]) -> Result<String, Unquotable> {
    Ok(Shell::Powershell.render(variables)?.trim_end().to_owned())
}
