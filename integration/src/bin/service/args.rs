//! The command line.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use integration::TestResult;
use integration::chaos::load::{Load, Manner};
use integration::shop::Addresses;

pub(crate) const USAGE: &str = "\
service --name NAME --control ADDRESS [--rest ADDRESS] [--grpc ADDRESS] [--graphql ADDRESS] [--board ADDRESS]
service check PORT      whether one is there, by its control port: for health checks
service load --name NAME --nodes HOST:PORT,HOST:PORT --seconds N --per-second N [--manner usual|storm] [--streams N]
                        clients of gateways: the line `begun`, then one line of JSON per request, and per stream

addresses are like 0.0.0.0:8081; at the control's there are GET /ledger, GET /fault, PUT /fault and GET /healthz.
";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Help,
    Check(u16),
    Load(Load),
    Serve(Args),
}

/// What to serve, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) name: String,
    pub(crate) addresses: Addresses,
    pub(crate) control: SocketAddr,
}

/// Reads the command line.
pub(crate) fn read(words: impl IntoIterator<Item = String>) -> TestResult<Wish> {
    let words: Vec<String> = words.into_iter().collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--help" | "-h" | "help"] => Ok(Wish::Help),
        ["check", port] => Ok(Wish::Check(port.parse().with_context(|| format!("port {port:?}"))?)),
        ["load", ref options @ ..] => load_of(options).map(Wish::Load),
        ref options => options_of(options).map(Wish::Serve),
    }
}

fn load_of(words: &[&str]) -> TestResult<Load> {
    let (nodes, name) = (Vec::new(), String::new());
    let mut load = Load { nodes, seconds: 0, per_second: 0, name, manner: Manner::Usual, streams: 0 };
    for pair in pairs(words) {
        let (word, value) = pair?;
        let number = || value.parse::<u32>().with_context(|| format!("{word} {value:?}"));
        match word {
            "--name" => value.clone_into(&mut load.name),
            "--nodes" => load.nodes = value.split(',').map(str::to_owned).collect(),
            "--seconds" => load.seconds = number()?,
            "--per-second" => load.per_second = number()?,
            "--streams" => load.streams = number()?,
            "--manner" => load.manner = Manner::named(value).with_context(|| format!("no manner {value:?}"))?,
            other => bail!("don't know {other:?}\n\n{USAGE}"),
        }
    }
    Ok(load)
}

fn pairs<'a>(words: &'a [&'a str]) -> impl Iterator<Item = TestResult<(&'a str, &'a str)>> {
    words.chunks(2).map(|pair| match *pair {
        [word, value] => Ok((word, value)),
        _ => bail!("{} needs a value\n\n{USAGE}", pair.concat()),
    })
}

fn options_of(words: &[&str]) -> TestResult<Args> {
    let (mut name, mut control, mut addresses) = (None, None, Addresses::default());
    for pair in pairs(words) {
        let (word, value) = pair?;
        let address = || value.parse::<SocketAddr>().with_context(|| format!("{word} {value:?}"));
        match word {
            "--name" => name = Some(value.to_owned()),
            "--control" => control = Some(address()?),
            "--rest" => addresses.rest = Some(address()?),
            "--grpc" => addresses.grpc = Some(address()?),
            "--graphql" => addresses.graphql = Some(address()?),
            "--board" => addresses.board = Some(address()?),
            other => bail!("don't know {other:?}\n\n{USAGE}"),
        }
    }
    let (name, control) = name.zip(control).with_context(|| format!("--name and --control are needed\n\n{USAGE}"))?;
    Ok(Args { name, addresses, control })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> TestResult<Wish> {
        read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_is_asked_for_is_served_and_nothing_else() {
        let Wish::Serve(args) = said("--name eu --control 0.0.0.0:9000 --grpc 0.0.0.0:8085").unwrap() else {
            panic!("not served")
        };
        assert_eq!((args.name.as_str(), args.control.port()), ("eu", 9000));
        assert_eq!(args.addresses, Addresses { grpc: "0.0.0.0:8085".parse().ok(), ..Addresses::default() });
        assert_eq!(said("check 9000").unwrap(), Wish::Check(9000));
    }

    #[test]
    fn a_load_has_its_bounds() {
        let Wish::Load(load) = said("load --name r --nodes a:1,b:2 --seconds 3 --per-second 4 --manner storm").unwrap()
        else {
            panic!("no load")
        };
        assert_eq!((load.nodes.len(), load.seconds, load.per_second, load.manner), (2, 3, 4, Manner::Storm));
        assert!(said("load --seconds soon").unwrap_err().to_string().contains("soon"));
        assert!(said("load --manner wild").unwrap_err().to_string().contains("wild"));
    }

    #[test]
    fn half_a_line_is_told_what_it_lacks() {
        assert!(said("--name eu").unwrap_err().to_string().contains("--control"));
        assert!(said("--name").unwrap_err().to_string().contains("needs a value"));
        assert!(said("--control here --name eu").unwrap_err().to_string().contains("here"));
        assert!(said("--sulk 1").unwrap_err().to_string().contains("don't know"));
    }
}
