//! The command line.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use integration::TestResult;
use integration::shop::Addresses;

pub(crate) const USAGE: &str = "\
service --name NAME --control ADDRESS [--rest ADDRESS] [--grpc ADDRESS] [--graphql ADDRESS]
service check PORT      whether one is there, by its control port: for health checks

addresses are like 0.0.0.0:8081; at the control's there are GET /ledger, GET /fault, PUT /fault and GET /healthz.
";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Help,
    Check(u16),
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
        ref options => options_of(options).map(Wish::Serve),
    }
}

fn options_of(words: &[&str]) -> TestResult<Args> {
    let (mut name, mut control, mut addresses) = (None, None, Addresses::default());
    for pair in words.chunks(2) {
        let [word, value] = *pair else { bail!("{} needs a value\n\n{USAGE}", pair.concat()) };
        let address = || value.parse::<SocketAddr>().with_context(|| format!("{word} {value:?}"));
        match word {
            "--name" => name = Some(value.to_owned()),
            "--control" => control = Some(address()?),
            "--rest" => addresses.rest = Some(address()?),
            "--grpc" => addresses.grpc = Some(address()?),
            "--graphql" => addresses.graphql = Some(address()?),
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
    fn half_a_line_is_told_what_it_lacks() {
        assert!(said("--name eu").unwrap_err().to_string().contains("--control"));
        assert!(said("--name").unwrap_err().to_string().contains("needs a value"));
        assert!(said("--control here --name eu").unwrap_err().to_string().contains("here"));
        assert!(said("--sulk 1").unwrap_err().to_string().contains("don't know"));
    }
}
