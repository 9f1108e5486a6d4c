//! How long the policy of this machine lets a sign-in last, counted from the moment when a person
//! signed in. Extending it does not begin anew.

use super::Session;
use crate::error::{Error, Forbidden, Overridden, PolicyRefusal, Result, SignInNeeded};
use crate::machine_policy::{duration, SignInLimit};
use crate::policy::ExtendRule;
use crate::token::Tokens;

impl Session {
    /// Moves the end of the sign-in to where the policy sets it, if that is earlier.
    pub(super) fn limit_sign_in(&self, tokens: &mut Tokens) {
        if let Some(limit) = self.sign_in_limit() {
            tokens.limit_sign_in(limit.longest);
        }
    }

    /// Refuses a sign-in that has lasted as long as the policy allows, with all its tokens.
    pub(super) fn check_not_ended_by_policy(&self, tokens: Option<&Tokens>) -> Result<()> {
        let now = self.context.now();
        let has_ended = tokens.is_some_and(|tokens| {
            let end = tokens.sign_in_expires_at().filter(|_| tokens.is_limited);
            end.is_some_and(|end| end <= now)
        });
        match self.sign_in_limit() {
            Some(limit) if has_ended => {
                Err(self.sign_in_needed(SignInNeeded::EndedByPolicy(limit.rule)))
            }
            _ => Ok(()),
        }
    }

    /// Refuses to extend a sign-in at a person's wish where the policy already sets its end.
    pub(super) fn check_may_extend(&self, tokens: Option<&Tokens>, rule: ExtendRule) -> Result<()> {
        let is_asked = match rule {
            ExtendRule::Now => true,
            ExtendRule::PastHalf | ExtendRule::OlderThan(_) => false,
        };
        match self.sign_in_limit() {
            Some(limit) if is_asked && tokens.is_some_and(|tokens| tokens.is_limited) => {
                Err(Error::Forbidden(Box::new(PolicyRefusal {
                    connection: Some(self.label()),
                    what: Forbidden::LongSignIn {
                        longest: duration(limit.longest),
                    },
                    rule: limit.rule,
                    overridden: Overridden::Answer,
                })))
            }
            _ => Ok(()),
        }
    }

    /// Each use of a session refuses a policy that cannot be used before this.
    fn sign_in_limit(&self) -> Option<SignInLimit> {
        self.context.machine_policy.longest_sign_in().ok().flatten()
    }
}
