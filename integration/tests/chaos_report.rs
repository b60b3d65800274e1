//! The report of `cargo xtask compose chaos` as a browser shows it: it complains of nothing, and every figure is drawn.
//!
//! What is shown is real: clients of two services, one of which is sick, recorded by the code that the experiments use.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, ensure};
use integration::chaos::load::{Load, Manner};
use integration::chaos::report::{Outcome, page, picture};
use integration::chaos::{self, Record, Run, Sample};
use integration::shop::{Addresses, Shop};
use integration::{Call, TestResult};
use serde_json::{Value, json};

const SECONDS: u32 = 4;
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// It asks nobody for anything, and no name leads anywhere.
const ALONE: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--allow-file-access-from-files",
];
/// What a reader would see, as far as a program can: the size of each picture, the length of each curve, the size of each text, and whether a picture
/// that stands alone is one. In an attribute, because that is in the printed page.
const LOOK: &str = "<script>
addEventListener('load', () => {
  const size = (what) => { const box = what.getBoundingClientRect(); return box.width * box.height; };
  const figures = [...document.querySelectorAll('svg')].map((svg) => ({
    size: size(svg),
    curves: [...svg.querySelectorAll('path.curve')].map((curve) => curve.getTotalLength()),
    texts: [...svg.querySelectorAll('text')].filter((text) => text.textContent.trim()).map(size),
  }));
  const alone = [...document.images].map((image) => image.naturalWidth);
  document.body.dataset.seen = btoa(JSON.stringify({figures, alone}));
});
</script>";

/// What a page came to.
struct Seen {
    told: Value,
    complaints: Vec<String>,
}

fn chromium() -> Option<&'static str> {
    let there = |name: &&str| {
        let version = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    PROGRAMS.into_iter().find(there)
}

/// Opens it, once.
fn open(program: &str, file: &Path) -> TestResult<Seen> {
    let profile = tempfile::tempdir()?;
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "120", program]).args(ALONE).args(["--enable-logging=stderr", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    let output = command.arg(format!("file://{}", file.display())).output().context("can't start a browser")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{program}: {}: {said}", output.status);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = printed.split_once("data-seen=\"").and_then(|(_, rest)| rest.split('"').next());
    let told = decoded(told.with_context(|| format!("the page told nothing: {said}"))?)?;
    let complaints = said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    Ok(Seen { told, complaints })
}

/// Base64, of JSON.
fn decoded(text: &str) -> TestResult<Value> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for letter in group {
            let value = LETTERS.iter().position(|known| known == letter).context("no base64")?;
            bits = (bits << 6) | u32::try_from(value)?;
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend_from_slice(bits.to_be_bytes().get(1..group.len()).unwrap_or_default());
    }
    Ok(serde_json::from_slice(&bytes)?)
}

/// Clients of a service that suffers from this, for a few seconds.
fn recorded(ailment: &str) -> TestResult<Run> {
    let any = "127.0.0.1:0".parse()?;
    let shop = Shop::start("rest-eu", &Addresses { rest: Some(any), ..Addresses::default() }, any)?;
    Call::post(shop.control(), "/fault", ailment.as_bytes()).method("PUT".parse()?).send()?;
    let port = shop.ports()[0].context("no port")?;
    let ledger = || Call::get(shop.control(), "/ledger").send()?.json();
    let sample = |at: u32, ledger: &Value| Sample {
        at: std::time::Duration::from_secs(at.into()),
        asked: ledger["asked"].as_u64().unwrap_or(0),
        executions: ledger["executed"].as_u64().unwrap_or(0),
        keys: ledger["keys"].as_object().map_or(0, |keys| keys.len() as u64),
        ..Sample::default()
    };
    let before = ledger()?;
    let records: Arc<Mutex<Vec<Record>>> = Arc::default();
    let load = Load {
        nodes: vec![format!("127.0.0.1:{port}")],
        seconds: SECONDS,
        per_second: 20,
        name: "report".into(),
        manner: Manner::Usual,
        streams: 0,
    };
    let seen = Arc::clone(&records);
    load.run(|| {}, move |record| seen.lock().unwrap().push(record.clone()), |_| {})?;
    let after = ledger()?;
    // The service is looked at before and after; between them it is taken to be at halves.
    let samples = vec![sample(0, &before), sample(SECONDS, &after)];
    let executed = after["keys"].as_object().into_iter().flatten();
    let executed = executed.map(|(key, times)| (key.clone(), times.as_u64().unwrap_or(0))).collect();
    let records = records.lock().unwrap().clone();
    Ok(Run { records, samples, executed, ..Run::default() })
}

#[test]
fn the_report_is_drawn_and_the_browser_complains_of_nothing() -> TestResult {
    let Some(program) = chromium() else {
        eprintln!("SKIPPED: no Chromium here, so nobody has looked at the report (Debian: apt-get install chromium)");
        return Ok(());
    };
    let (with, without) = (recorded("none")?, recorded("503")?);
    let outcome = |mut experiment: chaos::Experiment| {
        experiment.seconds = SECONDS;
        Outcome { experiment, with: with.clone(), without: without.clone() }
    };
    let outcomes: Vec<Outcome> = chaos::all().into_iter().map(outcome).collect();

    let folder = tempfile::tempdir()?;
    let mut alone = String::new();
    for outcome in &outcomes {
        let name = format!("{}.svg", outcome.experiment.number);
        std::fs::write(folder.path().join(&name), picture(outcome))?;
        write!(alone, "<img src=\"{name}\">")?;
    }
    let report = folder.path().join("report.html");
    std::fs::write(&report, page(&outcomes).replace("</body>", &format!("{alone}{LOOK}</body>")))?;

    let seen = open(program, &report)?;
    assert_eq!(seen.complaints, [""; 0]);
    let numbers = |value: &Value| -> Vec<f64> { value.as_array().unwrap().iter().filter_map(Value::as_f64).collect() };
    let figures = seen.told["figures"].as_array().context("no figures")?;
    assert_eq!(figures.len(), outcomes.len());
    for figure in figures {
        assert!(figure["size"].as_f64().unwrap() > 0.0, "{figure}");
        let (curves, texts) = (numbers(&figure["curves"]), numbers(&figure["texts"]));
        assert!(curves.len() == 8 && texts.len() > 8, "{figure}");
        assert!(texts.iter().all(|size| *size > 0.0), "{figure}");
        // Who got what he wanted, and how long it took: a second each, on both sides.
        assert!(curves[..4].iter().all(|length| *length > 0.0), "{figure}");
    }
    assert!(numbers(&seen.told["alone"]).iter().all(|width| *width > 0.0), "{}", seen.told["alone"]);
    Ok(())
}

/// Else the silence above would mean nothing.
#[test]
fn what_is_wrong_on_a_page_is_heard() -> TestResult {
    let Some(program) = chromium() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bad.html");
    std::fs::write(folder.path().join("bad.svg"), "<svg xmlns=\"http://www.w3.org/2000/svg\"><text>half")?;
    std::fs::write(
        &file,
        format!("<body><svg></svg><img src=\"bad.svg\"><script>console.error('sulk')</script>{LOOK}</body>"),
    )?;
    let seen = open(program, &file)?;
    assert!(seen.complaints.iter().any(|line| line.contains("sulk")), "{:?}", seen.complaints);
    assert_eq!((&seen.told["alone"], &seen.told["figures"][0]["curves"]), (&json!([0]), &json!([])));
    Ok(())
}
