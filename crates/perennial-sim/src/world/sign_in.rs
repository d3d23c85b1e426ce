//! A user signs in: the session is born, its code redeemed, the first tokens put into the credential file.
//!
//! Births and redemptions are acknowledged by the replicas, so no failover loses them, and the user is at the
//! device: nothing goes wrong here.

use perennial_client::engine::{Outcome, read_answer};
use perennial_client::{Clocks, Credentials};
use perennial_core::session::retry_key::RetryKeyHash;
use perennial_core::session::{Birth, Context, Grant, Presented, Reason, SessionSecret, redeem};
use perennial_core::write::{Applied, Durability, Event, Expect, Write};
use perennial_core::{ClientId, ContinuityId, Generation, Now, Scopes, Session, SessionId, SubjectId};

use crate::invariants::Breach;
use crate::server::{access_number, event};
use crate::world::World;

impl World {
    /// Signs the user of a device in, and gives the device's clocks' reading to the new tokens.
    pub(super) fn sign_in(&mut self, device: usize, node: usize) -> Result<(), Breach> {
        let now = self.server.now(node, self.at_ms);
        let (sid, session) = self.born_and_redeemed(device, now)?;
        self.invariants.born(sid, &session, self.at_ms);
        let answer = self.server.first_answer(sid, &session, now, self.at_ms, &mut self.invariants);
        let clocks: Clocks = self.clocks(device);
        let Outcome::Issued(issued) = read_answer(&answer, &clocks, &clocks) else {
            return Err(Breach::new(2, "the client does not understand the server's first answer".into()));
        };
        self.invariants.access_stored(access_number(issued.access_token.secret.expose()));
        let signed_out =
            Credentials::signed_out("https://id.example.org", "demo", "https://id.example.org/token");
        let signed_in = signed_out.welcoming_retry_keys().with_new_tokens(*issued);
        let file = &mut self.devices[device].file;
        *file = Some(match file.as_ref() {
            Some(previous) => signed_in.in_place_of(previous, clocks.wall),
            None => signed_in,
        });
        self.counts.sign_ins += 1;
        Ok(())
    }

    fn born_and_redeemed(&mut self, device: usize, now: Now) -> Result<(SessionId, Session), Breach> {
        let (mut random, mut secret) = ([0; 10], [0; 32]);
        self.dice.fill(&mut random);
        self.dice.fill(&mut secret);
        let sid = SessionId::new(now.wall, random);
        let rules = self.plan.rules;
        let grant = Grant {
            subject: SubjectId::from("ada"),
            client: ClientId::from("demo"),
            scopes: Scopes::none(),
            continuity: ContinuityId::new(now.wall, random),
            secret: SessionSecret(secret),
            born_at: now.wall,
            authenticated_at: now.wall,
            acr: "pwd".into(),
            absolute_at: now.wall.plus(rules.absolute_ms),
            bound_key: None,
        };
        let birth =
            Birth { now, code_lifetime_ms: rules.code_lifetime_ms, policy_version: rules.policy_version };
        let newborn = Session::born(grant, birth);
        let born = event(Reason::Born, &newborn.hot, now);
        self.write(sid, Expect::Absent, &newborn, born)?;

        let context = self.context(device);
        let retry_key = RetryKeyHash::of_parameter("the-first-redemption-of-a-code").ok();
        let presented = Presented { generation: Generation(0), retry_key, holder: self.plan.holder };
        let decision = redeem(&newborn, &presented, &context, &rules, now);
        let Some(hot) = decision.next else {
            return Err(Breach::new(2, format!("a newborn's code was refused: {}", decision.reason)));
        };
        let redeemed = Session { hot, ..newborn.clone() };
        let told = event(decision.reason, &hot, now);
        self.write(sid, Expect::Version(newborn.hot.version), &redeemed, told)?;
        Ok((sid, redeemed))
    }

    fn write(
        &mut self,
        sid: SessionId,
        expect: Expect,
        session: &Session,
        event: Event,
    ) -> Result<(), Breach> {
        let grant = (expect == Expect::Absent).then(|| session.grant.clone());
        let durability = Durability::Replicated;
        let write = Write { sid, expect, hot: session.hot, grant, ticket: None, event, durability };
        match self.server.apply(write) {
            Applied::Applied(_) => Ok(()),
            not @ (Applied::Conflict(_) | Applied::Absent | Applied::Consumed) => {
                Err(Breach::new(7, format!("a birth was not taken: {not:?}")))
            }
        }
    }

    /// Where a device's requests come from.
    pub(super) fn context(&self, device: usize) -> Context {
        use perennial_core::session::Holder;
        use perennial_core::session::context::{NetworkId, Sends, SoftwareId};
        let sends = match self.plan.holder {
            Holder::Bearer => Sends::RetryKey,
            Holder::Key(_) | Holder::Client | Holder::ClientWithKey(_) => Sends::Proof,
        };
        Context {
            network: NetworkId::of_hash([10, 0, 0, self.devices[device].network]),
            software: SoftwareId::of_hash([0, 0, 1, 0], sends),
        }
    }
}
