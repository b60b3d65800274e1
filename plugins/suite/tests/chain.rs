//! Filters within one filter go on as filters of their own would.
//!
//! The reference is naive: a filter turns the pieces that reach it, each with its time, into pieces that leave it. One that holds nothing changes nothing; one
//! that holds lets everything go at one time, the body's parts as one. A row of filters is one after the other.

use proptest::prelude::*;
use sdk_shim::entry::Flow;
use suite::chain::{Links, Progress};

const LINKS: usize = 4;

/// A piece of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Headers { end: bool },
    Body { size: usize, end: bool },
    Trailers,
}

/// What one filter does.
#[derive(Clone, Copy, Debug)]
struct Habit {
    /// It holds from its headers on, or from the first part of the body on.
    from_headers: bool,
    lets_go: LetsGo,
}

#[derive(Clone, Copy, Debug)]
enum LetsGo {
    /// In its nth callback while it holds, beyond the one in which it began.
    InCallback(usize),
    /// In somebody else's callback, at this time, if it holds by then; it never would in its own.
    At(usize),
}

type Habits = [Option<Habit>; LINKS];

/// What reached a filter, with its time: holders are told how much there is by now.
type Seen = Vec<(usize, Piece)>;

// --- the reference ---

/// What reaches each filter of a row.
fn reference(pieces: &[Piece], habits: Habits) -> Vec<Seen> {
    let mut stream: Seen = pieces.iter().copied().enumerate().map(|(n, piece)| (2 * n, piece)).collect();
    let mut all = Vec::new();
    for habit in habits {
        let (seen, left) = match habit {
            None => (stream.clone(), stream),
            Some(habit) => through(&stream, habit),
        };
        all.push(seen);
        stream = left;
    }
    all
}

fn through(stream: &Seen, habit: Habit) -> (Seen, Seen) {
    let (mut seen, mut left, mut held) = (Seen::new(), Seen::new(), Seen::new());
    let (mut holds, mut done, mut callbacks) = (false, false, 0);
    for (time, piece) in stream {
        // Somebody let go between two pieces.
        if let (true, LetsGo::At(at)) = (holds, habit.lets_go)
            && at < *time
        {
            release(&mut held, at, &mut left);
            (holds, done) = (false, true);
        }
        let begins = match piece {
            Piece::Headers { .. } => habit.from_headers,
            Piece::Body { .. } => !habit.from_headers,
            Piece::Trailers => false,
        };
        if !holds && !done && begins {
            holds = true;
        } else if holds {
            callbacks += 1;
        }
        if !holds {
            seen.push((*time, *piece));
            left.push((*time, *piece));
            continue;
        }
        held.push((*time, *piece));
        seen.push((
            *time,
            match piece {
                Piece::Body { end, .. } => Piece::Body { size: body_of(&held), end: *end },
                other => *other,
            },
        ));
        if matches!(habit.lets_go, LetsGo::InCallback(n) if callbacks > n) {
            release(&mut held, *time, &mut left);
            (holds, done) = (false, true);
        }
    }
    if let (true, LetsGo::At(at)) = (holds, habit.lets_go) {
        release(&mut held, at, &mut left);
    }
    (seen, left)
}

fn body_of(held: &Seen) -> usize {
    held.iter().map(|(_, piece)| if let Piece::Body { size, .. } = piece { *size } else { 0 }).sum()
}

/// Everything at once, the body as one part.
fn release(held: &mut Seen, time: usize, left: &mut Seen) {
    let size = body_of(held);
    let ended = held.iter().any(|(_, piece)| matches!(piece, Piece::Body { end: true, .. }));
    let pieces: Vec<Piece> = held.drain(..).map(|(_, piece)| piece).collect();
    let headers = pieces.iter().find(|piece| matches!(piece, Piece::Headers { .. }));
    left.extend(headers.map(|headers| (time, *headers)));
    if size > 0 || ended {
        left.push((time, Piece::Body { size, end: ended }));
    }
    if pieces.contains(&Piece::Trailers) {
        left.push((time, Piece::Trailers));
    }
}

// --- the machine ---

struct Row {
    habits: Habits,
    now: usize,
    seen: Vec<Seen>,
    /// What the proxy holds, in a callback about a body.
    buffered: Option<usize>,
    holds: [bool; LINKS],
    done: [bool; LINKS],
    callbacks: [usize; LINKS],
}

impl Row {
    fn meet(&mut self, link: usize, piece: Piece) -> Flow {
        self.seen[link].push((self.now, piece));
        let Some(habit) = self.habits[link] else { return Flow::Continue };
        let begins = match piece {
            Piece::Headers { .. } => habit.from_headers,
            Piece::Body { .. } => !habit.from_headers,
            Piece::Trailers => false,
        };
        if !self.holds[link] && !self.done[link] && begins {
            self.holds[link] = true;
        } else if self.holds[link] {
            self.callbacks[link] += 1;
        }
        if self.holds[link] && matches!(habit.lets_go, LetsGo::InCallback(n) if self.callbacks[link] > n) {
            (self.holds[link], self.done[link]) = (false, true);
        }
        if self.holds[link] { Flow::Pause } else { Flow::Continue }
    }

    /// Who lets go by somebody else's callback before this time.
    fn due(&self, before: usize) -> Option<(usize, usize)> {
        (0..LINKS).find_map(|link| match self.habits[link]?.lets_go {
            LetsGo::At(at) if self.holds[link] && at < before => Some((link, at)),
            _ => None,
        })
    }
}

impl Links for Row {
    const COUNT: usize = LINKS;

    fn headers(&mut self, link: usize, end: bool) -> Flow {
        self.meet(link, Piece::Headers { end })
    }

    fn body(&mut self, link: usize, start: usize, size: usize, end: bool) -> Flow {
        // Where it begins is where it ends, less what it is: the proxy holds nothing behind it.
        assert!(
            self.buffered.is_none_or(|buffered| start + size == buffered),
            "{start} + {size} of {:?}",
            self.buffered
        );
        self.meet(link, Piece::Body { size, end })
    }

    fn trailers(&mut self, link: usize) -> Flow {
        self.meet(link, Piece::Trailers)
    }
}

/// What reaches each link; the proxy holds what is held, and tells how much there is.
fn machine(pieces: &[Piece], habits: Habits) -> Vec<Seen> {
    let mut row = Row {
        habits,
        now: 0,
        seen: vec![Seen::new(); LINKS],
        buffered: None,
        holds: [false; LINKS],
        done: [false; LINKS],
        callbacks: [0; LINKS],
    };
    let (mut progress, mut buffered) = (Progress::default(), 0);
    let let_go = |row: &mut Row, progress: &mut Progress, buffered: &mut usize, before: usize| {
        while let Some((link, at)) = row.due(before) {
            row.now = at.max(row.now);
            (row.holds[link], row.done[link]) = (false, true);
            if progress.release(row) == Flow::Continue {
                *buffered = 0;
            }
        }
    };
    for (n, piece) in pieces.iter().enumerate() {
        let_go(&mut row, &mut progress, &mut buffered, 2 * n);
        row.now = 2 * n;
        let flow = match piece {
            Piece::Headers { end } => progress.headers(&mut row, *end),
            Piece::Body { size, end } => {
                buffered += size;
                row.buffered = Some(buffered);
                let flow = progress.body(&mut row, buffered, *end);
                row.buffered = None;
                flow
            }
            Piece::Trailers => progress.trailers(&mut row),
        };
        assert_eq!(flow == Flow::Pause, progress.is_held());
        if flow == Flow::Continue {
            buffered = 0;
        }
    }
    let_go(&mut row, &mut progress, &mut buffered, usize::MAX);
    row.seen
}

/// Times of what was let go elsewhere differ where one holder follows another; what matters is who sees what, and in which order.
fn without_times(seen: &[Seen]) -> Vec<Vec<Piece>> {
    seen.iter().map(|seen| seen.iter().map(|(_, piece)| *piece).collect()).collect()
}

fn message() -> impl Strategy<Value = Vec<Piece>> {
    (prop::collection::vec(1usize..9, 0..4), any::<bool>()).prop_map(|(sizes, trailers)| {
        let mut pieces = vec![Piece::Headers { end: sizes.is_empty() && !trailers }];
        let last = sizes.len();
        for (n, size) in sizes.into_iter().enumerate() {
            pieces.push(Piece::Body { size, end: n + 1 == last && !trailers });
        }
        pieces.extend(trailers.then_some(Piece::Trailers));
        pieces
    })
}

fn lets_go() -> impl Strategy<Value = LetsGo> {
    prop_oneof![(0usize..4).prop_map(LetsGo::InCallback), (0usize..6).prop_map(|n| LetsGo::At(2 * n + 1))]
}

/// One that holds anything, or several that hold one after the other: no two at a time, as no two plugins of one chain do.
fn habits() -> impl Strategy<Value = Habits> {
    let one = (0..LINKS, lets_go()).prop_map(|(link, lets_go)| {
        let mut habits = [None; LINKS];
        habits[link] = Some(Habit { from_headers: false, lets_go });
        habits
    });
    let from_headers = lets_go().prop_map(|lets_go| Habit { from_headers: true, lets_go });
    prop_oneof![one, prop::array::uniform4(prop::option::weighted(0.4, from_headers))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn links_of_one_filter_see_what_filters_of_their_own_would(pieces in message(), habits in habits()) {
        prop_assert_eq!(without_times(&machine(&pieces, habits)), without_times(&reference(&pieces, habits)));
    }
}
