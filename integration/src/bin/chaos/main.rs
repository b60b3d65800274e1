//! The hands of `integration::chaos`: breaks what `cargo xtask compose chaos` has started, and looks.
#![allow(clippy::disallowed_methods, reason = "it lives in real time")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its table is for people")]

mod args;
mod docker;
mod site;
mod stage;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use integration::TestResult;
use integration::chaos::report::{self, Outcome};
use integration::chaos::without_holdfast;

use args::{Args, Wish};
use site::Site;

fn main() -> ExitCode {
    match args::read(std::env::args().skip(1)).and_then(run) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything that was claimed holds.
fn run(wish: Wish) -> TestResult<bool> {
    match wish {
        Wish::Help => print!("{}", args::USAGE),
        Wish::List => println!("{}", args::list(&integration::chaos::all())),
        Wish::Plain { from, to } => write(&to, &without_holdfast(&read(&from)?)?)?,
        Wish::Play(args) => return play(&args),
    }
    Ok(true)
}

fn play(args: &Args) -> TestResult<bool> {
    let sites = [Site::find("with", "HOLDFAST_CHAOS_WITH")?, Site::find("without", "HOLDFAST_CHAOS_WITHOUT")?];
    let mut outcomes: Vec<Outcome> = Vec::new();
    for experiment in args.chosen()? {
        println!("{}. {}: {} s", experiment.number, experiment.name, experiment.seconds);
        let [with, without] = stage::play(&sites, &experiment, &args.out)?;
        let outcome = Outcome { experiment, with, without };
        println!("{}", report::table(&outcome));
        write(&args.out.join(format!("{}.svg", outcome.experiment.number)), &report::picture(&outcome))?;
        outcomes.push(outcome);
        // After each: whoever interrupts it has what was seen so far.
        write(&args.out.join("report.html"), &report::page(&outcomes))?;
    }
    println!("{}", report::verdicts(&outcomes));
    println!("report: {}", args.out.join("report.html").display());
    Ok(outcomes.iter().all(Outcome::stands))
}

fn read(path: &Path) -> TestResult<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn write(path: &Path, text: &str) -> TestResult {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
