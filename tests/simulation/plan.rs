//! What is to go wrong in a run, and when.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use tokio::time::Instant;

use super::person::Act;

/// Where a process crashes at an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    Before,
    /// After the effect and before its answer.
    Unanswered,
    Answered,
}

pub const POINTS: [Point; 3] = [Point::Before, Point::Unanswered, Point::Answered];

/// Whether a call does at the other side what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    Now,
    Never,
    Late(Duration),
}

/// An answer that is not the true one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Hang,
    Status(u16),
    /// 429 with Retry-After, in seconds.
    Wait(u64),
    /// The connection never came to be.
    Unsent,
    /// The connection broke.
    Reset,
    /// 2xx that makes no sense.
    Garbage,
    /// A list that is not complete, and can be seen not to be.
    Flawed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub takes: Takes,
    /// `None` is the true answer.
    pub answer: Option<Answer>,
}

pub const NONE: Fault = Fault { takes: Takes::Now, answer: None };

pub const fn fault(takes: Takes, answer: Answer) -> Fault {
    Fault { takes, answer: Some(answer) }
}

/// What can go wrong with a call to the apiserver.
pub const API_FAULTS: [Fault; 6] = [
    fault(Takes::Never, Answer::Status(500)),
    fault(Takes::Now, Answer::Status(500)),
    fault(Takes::Never, Answer::Status(429)),
    fault(Takes::Never, Answer::Status(409)),
    fault(Takes::Never, Answer::Hang),
    fault(Takes::Now, Answer::Hang),
];

/// What can go wrong with a call to Orion and goes better by itself.
pub const ORION_FAULTS: [Fault; 15] = [
    fault(Takes::Never, Answer::Status(500)),
    fault(Takes::Now, Answer::Status(500)),
    fault(Takes::Late(Duration::from_secs(20)), Answer::Status(502)),
    fault(Takes::Never, Answer::Status(503)),
    fault(Takes::Never, Answer::Status(429)),
    fault(Takes::Never, Answer::Wait(30)),
    fault(Takes::Never, Answer::Status(408)),
    fault(Takes::Never, Answer::Hang),
    fault(Takes::Now, Answer::Hang),
    fault(Takes::Late(Duration::from_secs(25)), Answer::Hang),
    fault(Takes::Never, Answer::Unsent),
    fault(Takes::Never, Answer::Reset),
    fault(Takes::Now, Answer::Reset),
    fault(Takes::Now, Answer::Garbage),
    fault(Takes::Now, Answer::Flawed),
];

/// What leaves a Webhook to a person.
pub const REFUSALS: [Fault; 7] = [
    fault(Takes::Never, Answer::Status(400)),
    fault(Takes::Never, Answer::Status(401)),
    fault(Takes::Never, Answer::Status(403)),
    fault(Takes::Never, Answer::Status(404)),
    fault(Takes::Never, Answer::Status(409)),
    fault(Takes::Never, Answer::Status(422)),
    fault(Takes::Never, Answer::Status(307)),
];

/// Calls that a run may make.
const CALLS_AT_MOST: usize = 20_000;

/// A call to the apiserver or to Orion.
#[derive(Clone, Debug)]
pub struct Call {
    pub of_orion: bool,
    /// It changes something.
    pub is_effect: bool,
    pub is_event: bool,
    pub is_watch: bool,
    pub text: String,
}

/// Which effect a call is, and what happens at it.
#[derive(Clone, Debug)]
pub struct Turn {
    pub effect: Option<usize>,
    pub crash: Option<Point>,
    pub fault: Fault,
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(effect) = self.effect {
            write!(f, " #{effect}")?;
        }
        if self.fault != NONE {
            write!(f, " takes {:?}, answer {:?}", self.fault.takes, self.fault.answer)?;
        }
        self.crash.map_or(Ok(()), |crash| write!(f, " CRASH {crash:?}"))
    }
}

/// Faults by chance, until a time.
#[derive(Clone, Debug)]
pub struct Weather {
    pub until: Instant,
    /// Of each call, out of 1000.
    pub faults: u32,
    /// Of each effect, out of 1000.
    pub crashes: u32,
    /// Of each list of Orion, out of 1000: it is not complete.
    pub flaws: u32,
    /// Of each call, out of 1000: all watches close, or cannot resume.
    pub watches: u32,
}

/// What is to go wrong. Effects and calls are counted from when it is made.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub effects: usize,
    pub calls: usize,
    pub crashes: BTreeMap<usize, Point>,
    pub faults: BTreeMap<usize, Fault>,
    /// What a person does when so many effects have happened.
    pub acts: BTreeMap<usize, Act>,
    /// The kinds of calls: whether each is of Orion, by number.
    pub kinds: Vec<bool>,
    pub weather: Option<Weather>,
    /// Calls beyond the usual bound, for many Webhooks.
    pub more_calls: usize,
}

impl Plan {
    /// There are more calls than are ever needed.
    pub fn has_no_end(&self) -> bool {
        self.calls > CALLS_AT_MOST + self.more_calls
    }

    /// Counts a call, and says what happens at it.
    pub fn turn(&mut self, call: &Call, chance: &mut SmallRng) -> Turn {
        let mut turn = Turn { effect: None, crash: None, fault: NONE };
        if call.is_effect {
            self.effects += 1;
            turn.effect = Some(self.effects);
            turn.crash = self.crashes.remove(&self.effects);
        }
        if !call.is_watch && !call.is_event {
            self.calls += 1;
            // So many are never needed: rather than go on for ever, it fails.
            turn.crash = self.has_no_end().then_some(Point::Before).or(turn.crash);
            self.kinds.push(call.of_orion);
            if let Some(fault) = self.faults.remove(&self.calls) {
                turn.fault = fault;
            }
        }
        if let Some(weather) = self.weather.clone().filter(|weather| Instant::now() < weather.until) {
            if !call.is_watch && chance.random_ratio(weather.faults, 1000) {
                let faults = if call.of_orion { &ORION_FAULTS[..] } else { &API_FAULTS[..] };
                turn.fault = *faults.choose(chance).unwrap();
            }
            if call.text.ends_with("LIST") && chance.random_ratio(weather.flaws, 1000) {
                turn.fault = fault(Takes::Now, Answer::Flawed);
            }
            if call.is_effect && chance.random_ratio(weather.crashes, 1000) {
                turn.crash = POINTS.choose(chance).copied();
            }
        }
        turn
    }
}
