//! `state` and `override`: what gateways do, and an operator's hand in it. Each node has a control entry of its own; an order goes to all that are named.

mod node;
mod show;
mod stores;

use node::{Answer, Node};
use serde_json::{Value, json};
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Puts the cursor to the upper left, and clears what is below it: redrawing flickers less than clearing first.
const HOME: &str = "\x1b[H";
const CLEAR_BELOW: &str = "\x1b[J";

/// What is ordered, in the words of the control entry, which judges them.
pub(crate) struct Order {
    pub(crate) plugin: String,
    pub(crate) key: String,
    pub(crate) mode: String,
    pub(crate) lasting: Option<String>,
    pub(crate) chain: Option<String>,
    pub(crate) instance: Option<String>,
}

// === impl Order ===

impl Order {
    fn json(&self) -> Value {
        let mut order = json!({"plugin": self.plugin, "key": self.key, "mode": self.mode});
        for (name, value) in [("for", &self.lasting), ("chain", &self.chain), ("instance", &self.instance)] {
            if let Some(value) = value {
                order[name] = value.as_str().into();
            }
        }
        order
    }
}

/// Shows what each node does, once or again and again.
pub(crate) fn state(
    urls: &[String],
    admins: &[String],
    limit: u32,
    watch: bool,
    json: bool,
) -> Result<ExitCode, String> {
    let nodes = nodes(urls)?;
    let admins = admins.iter().map(|url| Node::new(url, None)).collect::<Result<Vec<_>, _>>()?;
    let mut before = Vec::new();
    loop {
        let answers: Vec<Result<Value, String>> =
            nodes.iter().map(|node| good(node.get(&format!("/state?limit={limit}")))).collect();
        let stores: Vec<Result<Value, String>> =
            admins.iter().map(|node| good(node.get(stores::STATS)).map(|stats| stores::stores(&stats))).collect();
        if json {
            let mut all = for_programs(&nodes, &answers);
            for (node, stores) in admins.iter().zip(&stores) {
                let (name, value) = match stores {
                    Ok(stores) => ("stores", stores.clone()),
                    Err(why) => ("error", why.as_str().into()),
                };
                all.push(json!({"node": node.url(), name: value}));
            }
            println!("{:#}", Value::from(all));
        } else {
            let page: String = nodes
                .iter()
                .zip(&answers)
                .enumerate()
                .map(|(n, (node, answer))| show::node(node.url(), answer, before.get(n).and_then(Option::as_ref)))
                .collect();
            let lines = admins.iter().zip(&stores).map(|(node, stores)| show::stores(node.url(), stores));
            let page = show::printable(&(page + &lines.collect::<String>()));
            let (home, clear) = if watch && std::io::stdout().is_terminal() { (HOME, CLEAR_BELOW) } else { ("", "") };
            print!("{home}{}{clear}", if home.is_empty() { page } else { page.replace('\n', "\x1b[K\n") });
        }
        if !watch {
            return Ok(verdict(answers.iter().chain(&stores).all(Result::is_ok)));
        }
        before = answers.into_iter().map(Result::ok).collect();
        std::thread::sleep(PAUSE);
    }
}

/// Gives an order to each node, and says what each made of it.
pub(crate) fn give(urls: &[String], order: &Order, json: bool) -> Result<ExitCode, String> {
    let nodes = nodes(urls)?;
    let order = order.json();
    let answers: Vec<Result<Value, String>> = nodes.iter().map(|node| good(node.post("/override", &order))).collect();
    if json {
        println!("{:#}", Value::from(for_programs(&nodes, &answers)));
    } else {
        for (node, answer) in nodes.iter().zip(&answers) {
            let said = answer.as_ref().map_or_else(|why| format!("refused: {why}"), show::order);
            println!("{}", show::printable(&format!("{}: {said}", node.url())));
        }
    }
    Ok(verdict(answers.iter().all(Result::is_ok)))
}

fn verdict(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn nodes(urls: &[String]) -> Result<Vec<Node>, String> {
    let token = std::env::var("HOLDFAST_CONTROL_TOKEN").ok().filter(|token| !token.is_empty());
    let token = token.ok_or("HOLDFAST_CONTROL_TOKEN isn't set: the control entry answers nobody without its token")?;
    urls.iter().map(|url| Node::new(url, Some(&token))).collect()
}

/// What a node says, or why it says nothing of use.
fn good(answer: Result<Answer, String>) -> Result<Value, String> {
    let Answer { status, body } = answer?;
    if status == 200 { Ok(body) } else { Err(show::problem(status, &body)) }
}

fn for_programs(nodes: &[Node], answers: &[Result<Value, String>]) -> Vec<Value> {
    let one = |(node, answer): (&Node, &Result<Value, String>)| match answer {
        Ok(answer) => json!({"node": node.url(), "answer": answer}),
        Err(why) => json!({"node": node.url(), "error": why}),
    };
    nodes.iter().zip(answers).map(one).collect()
}
