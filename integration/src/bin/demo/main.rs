//! The story of a failing region, on a real Envoy: `cargo xtask demo`.
//!
//! Two regions of one service stand behind `envoy-configs/active-active.yaml`, twice: once as shipped, once with Holdfast's
//! lines taken out. Both get the same load and the same accident at the same time. Nothing is scripted but the accident:
//! what the charts, the table and the verdict show was measured at the client, at the upstreams and in Envoy's `/stats`.
#![allow(clippy::disallowed_methods, reason = "the demo lives in real time")]
#![allow(clippy::print_stdout, reason = "the demo is what it prints")]

mod chart;
mod counted;
mod interrupt;
mod load;
mod report;
mod serve;
mod shipped;
mod side;
mod spans;
mod story;
mod svg;
mod tally;
mod view;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use integration::TestResult;
use story::{Pace, Story};

const USAGE: &str = "\
cargo xtask demo [options]

  --serve      keep everything up after the story, print what to curl, and start a Prometheus where one is installed
  --fast       the same story in about 20 s, with shorter windows
  --plain      one line per second, also on a terminal
  --svg FILE   where the timeline goes (else target/demo/timeline.svg)";

/// What was asked for.
struct Options {
    serve: bool,
    plain: bool,
    pace: Pace,
    svg: PathBuf,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> TestResult<Options> {
    let svg = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/demo/timeline.svg");
    let mut options = Options { serve: false, plain: !std::io::stdout().is_terminal(), pace: Pace::Full, svg };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--serve" => options.serve = true,
            "--plain" => options.plain = true,
            "--fast" => options.pace = Pace::Fast,
            "--svg" => options.svg = args.next().context("--svg needs a file name")?.into(),
            other => bail!("don't know {other:?}\n\n{USAGE}"),
        }
    }
    Ok(options)
}

/// Tells the story; whether it went as it should.
fn run(options: &Options) -> TestResult<bool> {
    interrupt::listen();
    println!("Starting two Envoys with two workers each, and eight small services ...");
    let story = Story::begin(options.pace)?;
    let (story, record) = story.tell(&mut *view::new(options.plain))?;
    if interrupt::came() && !record.complete {
        println!("\nInterrupted: no verdict.");
        return Ok(false);
    }
    println!("\n{}", report::table(&record));
    write(&options.svg, &svg::timeline(&record))?;
    println!("Timeline: {}", options.svg.display());
    println!(
        "\nCounted by Holdfast ({}):\n\n{}",
        story.with.metrics_url(),
        counted::tables(&story.with.envoy.prometheus()?)
    );
    println!("{}", report::spans(&story.with.spans()));
    let (verdict, good) = report::verdict(&record);
    println!("{verdict}");
    if options.serve {
        serve::until_interrupted(&story)?;
    }
    Ok(good)
}

fn write(path: &Path, text: &str) -> TestResult {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
