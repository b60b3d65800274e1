//! Playing an experiment: both sides at the same time.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, anyhow, ensure};
use integration::TestResult;
use integration::chaos::{Experiment, Leg, Record, Run, Sample};

use crate::site::{NODES, Site};

/// Between two looks at the ledgers.
const LOOK: Duration = Duration::from_secs(1);

/// What was seen with Holdfast, and without.
pub(crate) fn play(sites: &[Site; 2], experiment: &Experiment, out: &Path) -> TestResult<[Run; 2]> {
    std::fs::create_dir_all(out).with_context(|| format!("creating {}", out.display()))?;
    both(sites, Site::heal)?;
    let stamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    both(sites, |site| Play { site, experiment, out, stamp }.run().with_context(|| format!("side {:?}", site.name)))
}

/// Does it to both at once.
fn both<T: Send>(sites: &[Site; 2], with: impl Fn(&Site) -> TestResult<T> + Sync) -> TestResult<[T; 2]> {
    let [first, second] = sites;
    let (first, second) = thread::scope(|scope| {
        let second = scope.spawn(|| with(second));
        (with(first), second.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked"))))
    });
    Ok([first?, second?])
}

/// One side of an experiment.
struct Play<'a> {
    site: &'a Site,
    experiment: &'a Experiment,
    out: &'a Path,
    /// Ledgers remember the keys of earlier runs.
    stamp: u64,
}

/// Clients at work; told to end when dropped.
struct Customers(Child);

// === impl Play ===

impl Play<'_> {
    fn run(&self) -> TestResult<Run> {
        let (mut customers, lines) = self.customers()?;
        let begun = Instant::now();
        let records = thread::scope(|scope| {
            let reader = scope.spawn(|| self.keep(lines));
            let samples = self.direct(begun);
            let records = reader.join().unwrap_or_else(|_| Err(anyhow!("the reader panicked")));
            Ok::<_, anyhow::Error>((samples?, records?))
        });
        let (samples, (records, legs)) = records?;
        ensure!(customers.0.wait()?.success(), "the customers failed");
        for node in NODES {
            let said = self.site.log(node, begun.elapsed())?;
            std::fs::write(self.file(&format!("-{node}.log")), said)?;
        }
        let [mut taken_configs, mut refused_configs] = [0, 0];
        for node in NODES {
            let [taken, refused] = self.site.configs(node)?;
            (taken_configs, refused_configs) = (taken_configs + taken, refused_configs + refused);
        }
        let opened: Vec<_> = NODES.iter().map(|node| self.site.opened(node)).collect::<TestResult<_>>()?;
        let opened = opened.into_iter().flatten().reduce(|one, other| &one | &other);
        let executed = self.site.executed(&self.keys())?;
        Ok(Run { records, legs, samples, executed, taken_configs, refused_configs, opened })
    }

    /// What is to be done, each at its time, and a look at the ledgers each second.
    fn direct(&self, begun: Instant) -> TestResult<Vec<Sample>> {
        let mut phases = self.experiment.phases.iter().peekable();
        let mut samples = Vec::new();
        for second in 0..=self.experiment.seconds {
            sleep((LOOK * second).saturating_sub(begun.elapsed()));
            samples.push(self.site.sample(begun.elapsed(), &self.keys())?);
            while let Some(phase) = phases.next_if(|phase| phase.at <= second) {
                phase.actions.iter().try_for_each(|action| self.site.act(*action))?;
            }
        }
        Ok(samples)
    }

    /// Starts them; returns when they have begun.
    fn customers(&self) -> TestResult<(Customers, Lines<BufReader<ChildStdout>>)> {
        let label = |name: &str, value: &str| format!("com.docker.compose.{name}={value}");
        let mut docker = Command::new("docker");
        docker.args(["run", "--rm", "--network", &self.site.network("front")]);
        // They belong to the project, which is taken down with all that is left of it.
        for (name, value) in [("project", self.site.project.as_str()), ("service", "customers"), ("oneoff", "True")] {
            docker.args(["--label", &label(name, value)]);
        }
        let gateways = NODES.map(|node| format!("{node}:{}", self.experiment.port)).join(",");
        docker.arg(self.site.customers()?).args(["load", "--nodes", &gateways, "--name", &self.keys()]);
        docker.args(["--seconds", &self.experiment.seconds.to_string()]);
        docker.args(["--per-second", &self.experiment.per_second.to_string()]);
        docker.args(["--manner", self.experiment.manner.name()]);
        docker.args(["--streams", &self.experiment.streams.to_string()]);
        let mut child = docker.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("can't start docker")?;
        let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let customers = Customers(child);
        let first = lines.next().transpose()?;
        ensure!(first.as_deref() == Some("begun"), "the customers don't begin: {first:?}");
        Ok((customers, lines))
    }

    /// Reads what they say, and keeps it.
    fn keep(&self, lines: Lines<BufReader<ChildStdout>>) -> TestResult<(Vec<Record>, Vec<Leg>)> {
        let path = self.file(".jsonl");
        let mut file = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
        let (mut records, mut legs) = (Vec::new(), Vec::new());
        for line in lines {
            let line = line?;
            writeln!(file, "{line}")?;
            match Leg::read(&line) {
                Some(leg) => legs.push(leg),
                None => records.push(Record::read(&line)?),
            }
        }
        Ok((records, legs))
    }

    /// For what was seen of this side.
    fn file(&self, end: &str) -> PathBuf {
        self.out.join(format!("{}-{}{end}", self.experiment.number, self.site.name))
    }

    /// How keys of this run begin.
    fn keys(&self) -> String {
        format!("{}-{}-{}", self.experiment.number, self.site.name, self.stamp)
    }
}

// === impl Customers ===

impl Drop for Customers {
    fn drop(&mut self) {
        // The client of Docker passes it on. Where they are through already, there is nobody to be told.
        if let Ok(None) = self.0.try_wait() {
            let _ = Command::new("kill").arg(self.0.id().to_string()).status();
            let _ = self.0.wait();
        }
    }
}
