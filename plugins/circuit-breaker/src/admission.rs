//! The request's half of the breaker: who may go ahead, who gets an answer, who goes the other way.

use crate::breaker::Breaker;
use crate::decide::{self, Admission, Cause, Ticket};
use crate::filter::Pending;
use crate::judge::{PHASE, REFUSED, REFUSED_ATTEMPT};
use crate::policy::Measure;
use crate::reply;
use crate::track::Track;
use crate::unheard::Expected;
use core::time::Duration;
use sdk_shim::body;
use sdk_shim::cell::CellError;
use sdk_shim::common::{Chain, asks_for_decisions};
use sdk_shim::headers::{Headers, is_grpc};
use sdk_shim::host::{Host, Map, Reply};
use sdk_shim::ours;
use sdk_shim::overrides::Mode;
use sdk_shim::time::Instant;
use std::rc::Rc;

/// The response header that tells it.
pub const DEBUG_ANSWER: &str = "x-holdfast-debug-circuit-breaker";
/// Filter state that marks a probe's request: chain, instance and key.
const PROBE: &str = "holdfast.circuit_breaker.probe";
/// Keys whose state is read anew for one request that sends our own header.
const REFRESHED_FOR_ONE: usize = 100;

/// What is to happen to a request.
#[derive(Debug)]
pub enum Outlook {
    /// Goes on, and its end is none of our business.
    Pass,
    /// Goes on, and its end counts.
    Judge(Pending),
    /// Ends here.
    Refuse(Box<Reply>),
}

impl Breaker {
    /// Decides about the current request.
    pub fn admit<H: Host>(&self, host: &H, end: bool) -> Outlook {
        if self.policy.common.mode == Mode::Disabled {
            return Outlook::Pass;
        }
        let spoofed = self.strip_spoofed(host);
        let debug = asks_for_decisions(host, self.debug_token.as_deref());
        let (track, now) = (self.keys.of_request(host, &|key| self.track(host, key)), host.now());
        if spoofed {
            return self.distrust(host, &track, now);
        }
        #[cfg(feature = "test-hooks")]
        crate::hooks::obey(host, &track, now);
        // Where the host never tells that no body follows, a request counts as complete at once.
        // An upgraded connection never ends its request.
        let sent = end || !host.capabilities().tells_end || host.header(Map::RequestHeaders, "upgrade").is_some();
        self.hear_of_unheard(host, &track, now);
        let known = track.refresh(host, &self.policy, now, self.policy.common.state_refresh);
        let mode = track.mode(self.policy.common.mode, now);
        if mode == Mode::Disabled {
            return Outlook::Pass;
        }
        self.claim(host, &track);
        let admission = match known {
            Ok(()) => self.ask(host, &track, mode, sent, now),
            Err(error) => self.without_state(host, &track, error),
        };
        match admission {
            Some(Admission::Admit(ticket)) => {
                self.mark_probe(host, &track, ticket);
                Self::tell_phase(host, &track);
                let tunnel = self.policy.measure == Measure::Completion && is_connect(host);
                let expected = Self::expect(host, &track, ticket, now);
                Outlook::Judge(Pending { tunnel, debug, expected, ..Pending::new(track, ticket, now, end, sent) })
            }
            Some(Admission::Refuse { .. }) if self.is_own_probe(host, &track) => Outlook::Pass,
            Some(Admission::Refuse { cause, wait }) => self.refuse(host, &track, mode, cause, wait, debug),
            None => Outlook::Pass,
        }
    }

    /// A client that never sends what it began to send is answered by an error page too, so its call says nothing of the service.
    fn expect<H: Host>(host: &H, track: &Rc<Track>, ticket: Ticket, now: Instant) -> Option<Expected> {
        let is_complete = || body::follows(host) == Some(false);
        (!host.capabilities().tells_every_end).then(|| Expected::new(track, ticket, now, is_complete()))
    }

    fn ask<H: Host>(&self, host: &H, track: &Track, mode: Mode, sent: bool, now: Instant) -> Option<Admission> {
        match mode {
            Mode::ForceOpen => return Some(Admission::Refuse { cause: Cause::Forced, wait: self.policy.open.base }),
            Mode::ForceClosed => return Some(Admission::Admit(Ticket { generation: track.generation(), lease: None })),
            _ if track.observe_only => return Some(Admission::Admit(Ticket::default())),
            _ => {}
        }
        if let (Some(generation), None) = (track.closed_generation(), self.policy.throttle_k) {
            return Some(Admission::Admit(Ticket { generation, lease: None }));
        }
        let (totals, draw) = (track.metrics.totals(host), self.draw());
        match track
            .advance(host, &self.policy, now, |state| decide::admit(&self.policy, state, totals, sent, now, draw))
        {
            Ok((admission, change)) => {
                self.tell(host, track, change.as_ref(), None);
                Some(self.throttle(host, track, admission, now))
            }
            // Somebody else changes the state all the time: then somebody else probes.
            Err(CellError::Contended) => Some(Admission::Refuse { cause: Cause::HalfOpen, wait: Duration::ZERO }),
            Err(error) => self.without_state(host, track, error),
        }
    }

    /// Client-side throttling has its say where the breaker admits; probes are spared.
    fn throttle<H: Host>(&self, host: &H, track: &Track, admission: Admission, now: Instant) -> Admission {
        if !matches!(admission, Admission::Admit(Ticket { lease: None, .. })) || !self.is_throttled(host, track, now) {
            return admission;
        }
        track.metrics.throttled(host);
        Admission::Refuse { cause: Cause::Throttle, wait: Duration::ZERO }
    }

    fn is_throttled<H: Host>(&self, host: &H, track: &Track, now: Instant) -> bool {
        let Some(k) = self.policy.throttle_k else { return false };
        track.observe(host, &self.policy, now);
        decide::throttled(k, &track.evidence(host, false).window, self.draw())
    }

    /// A client that sends our re-route header itself would choose the way around an open breaker. It is taken away, by which
    /// the proxy chooses the route anew; but in this callback the new route can't be read yet.
    fn strip_spoofed<H: Host>(&self, host: &H) -> bool {
        let Some(reroute) = &self.policy.on_open.reroute else { return false };
        let spoofed = host.header(Map::RequestHeaders, &reroute.header).is_some() && self.may_act(host.now());
        if spoofed {
            host.remove_header(Map::RequestHeaders, &reroute.header);
        }
        spoofed
    }

    /// Whether any request of this instance may be moved: not in a dry run, unless an operator says otherwise.
    fn may_act(&self, now: Instant) -> bool {
        self.policy.common.mode != Mode::DryRun
            || self.keys.all().iter().any(|track| track.override_mode(now).is_some())
    }

    /// Leaves word for the request's one line in access logs. Closed goes without saying.
    fn tell_phase<H: Host>(host: &H, track: &Track) {
        if track.closed_generation().is_none() {
            host.set_property(&[PHASE], track.state().phase.as_str().as_bytes());
        }
    }

    /// Marks a probe's request, so that another entry of this instance in its way knows it.
    fn mark_probe<H: Host>(&self, host: &H, track: &Track, ticket: Ticket) {
        if ticket.lease.is_some() {
            host.set_property(&[PROBE], self.probe_mark(host, track).as_bytes());
        }
    }

    /// Whether an earlier entry of this instance has sent this very request out as a probe. Asked only where we would refuse it.
    fn is_own_probe<H: Host>(&self, host: &H, track: &Track) -> bool {
        host.property(&[PROBE]).is_some_and(|mark| mark == self.probe_mark(host, track).as_bytes())
    }

    /// Upstream with the attempt's number: a retry of a probe is no probe.
    fn probe_mark<H: Host>(&self, host: &H, track: &Track) -> String {
        let common = &self.policy.common;
        let attempt = if common.chain == Chain::Upstream { attempt_number(host) } else { 0 };
        format!("{};{};{};{attempt}", common.chain.as_str(), common.instance, track.name)
    }

    /// Whose key is unknown passes only while every breaker of this instance admits everybody, counts for none, and is never
    /// moved. With very many keys the copies are taken as they are, at most a tick old: a client must not choose our work.
    fn distrust<H: Host>(&self, host: &H, track: &Track, now: Instant) -> Outlook {
        let tracks = self.keys.all();
        let few = tracks.len() <= REFRESHED_FOR_ONE;
        let admits = |track: &Rc<Track>| {
            let known = !few || track.refresh(host, &self.policy, now, self.policy.common.state_refresh).is_ok();
            match track.mode(self.policy.common.mode, now) {
                Mode::ForceOpen => false,
                Mode::Enforce => known && track.closed_generation().is_some(),
                Mode::DryRun | Mode::Disabled | Mode::ForceClosed => true,
            }
        };
        let cause = if !tracks.iter().all(admits) {
            Cause::Open
        } else if tracks.iter().any(|track| self.is_throttled(host, track, now)) {
            Cause::Throttle
        } else {
            return Outlook::Pass;
        };
        let enforced = self.policy.common.enforce_ratio.takes(self.draw());
        track.metrics.refused(host, &self.meter, cause, enforced);
        if !enforced {
            return Outlook::Pass;
        }
        Outlook::Refuse(Box::new(self.reply(host, cause, self.policy.open.base)))
    }

    fn refuse<H: Host>(
        &self,
        host: &H,
        track: &Track,
        mode: Mode,
        cause: Cause,
        wait: Duration,
        debug: bool,
    ) -> Outlook {
        let is_taken = || mode != Mode::DryRun && self.policy.common.enforce_ratio.takes(self.draw());
        // Who says that everything is to be refused doesn't mean a share of it.
        let enforced = cause == Cause::Forced || is_taken();
        track.metrics.refused(host, &self.meter, cause, enforced);
        if !enforced {
            return Outlook::Pass;
        }
        host.set_property(&[REFUSED], cause.as_str().as_bytes());
        Self::tell_phase(host, track);
        if self.rerouted(host) {
            track.metrics.rerouted(host, &self.meter);
            return Outlook::Pass;
        }
        if self.policy.common.chain == Chain::Upstream {
            host.set_property(&[REFUSED_ATTEMPT], cause.as_str().as_bytes());
        }
        let mut reply = self.reply(host, cause, wait);
        if debug {
            reply.headers.push((DEBUG_ANSWER.to_owned(), self.describe(track, None)));
        }
        Outlook::Refuse(Box::new(reply))
    }

    fn reply<H: Host>(&self, host: &H, cause: Cause, wait: Duration) -> Reply {
        ours::note(host, "circuit-breaker");
        let grpc = host.header(Map::RequestHeaders, "content-type").is_some_and(|kind| is_grpc(&kind));
        reply::build(&self.policy, cause, wait, grpc, self.draw())
    }

    /// Sends the request the other way, where there is one and it may go there.
    fn rerouted<H: Host>(&self, host: &H) -> bool {
        let Some(reroute) = &self.policy.on_open.reroute else { return false };
        if !reroute.only_if.as_ref().is_none_or(|(header, values)| may_move(host, header, values)) {
            return false;
        }
        host.set_header(Map::RequestHeaders, &reroute.header, reroute.value.as_bytes());
        true
    }
}

/// Whether a header has exactly one value and it is listed: with two, a client could have put its own in front of a trusted one.
fn may_move<H: Host>(host: &H, header: &str, values: &[String]) -> bool {
    let headers = Headers::from(host.headers(Map::RequestHeaders));
    let mut given = headers.all(header);
    match (given.next(), given.next()) {
        (Some(only), None) => values.iter().any(|value| value.as_bytes() == only),
        _ => false,
    }
}

fn attempt_number<H: Host>(host: &H) -> u64 {
    let bytes = host.property(&["upstream", "request_attempt_count"]).unwrap_or_default();
    bytes.first_chunk::<8>().map_or(0, |count| u64::from_le_bytes(*count))
}

fn is_connect<H: Host>(host: &H) -> bool {
    host.header(Map::RequestHeaders, ":method").is_some_and(|method| method == b"CONNECT")
}
