//! A gateway's control entry, or its admin, over HTTP.

use serde_json::Value;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Longest wait for an answer: ten thousand keys are shown in less.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer that is read.
const MOST: usize = 64 << 20;

/// One of them.
pub(crate) struct Node {
    url: String,
    /// An admin page asks for none.
    token: Option<String>,
    client: reqwest::Client,
    runtime: Runtime,
}

/// What it said.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

// === impl Node ===

impl Node {
    pub(crate) fn new(url: &str, token: Option<&str>) -> Result<Self, String> {
        let url = url.trim_end_matches('/').to_owned();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(format!("{url:?} is no URL such as http://127.0.0.1:9902"));
        }
        // Another one may have been chosen already, and will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // No proxy of the environment: the token is for the gateway alone.
        let client =
            reqwest::Client::builder().timeout(PATIENCE).no_proxy().redirect(reqwest::redirect::Policy::none()).build();
        let client = client.map_err(|error| format!("no client: {error}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        Ok(Self { url, token: token.map(str::to_owned), client, runtime })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer, String> {
        self.send(self.client.get(format!("{}{path}", self.url)))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Answer, String> {
        let request = self.client.post(format!("{}{path}", self.url));
        self.send(request.header("content-type", "application/json").body(body.to_string()))
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, String> {
        let answer = self.runtime.block_on(async {
            let request = match &self.token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            let response = request.send().await?;
            let (status, mut response, mut bytes) = (response.status().as_u16(), response, Vec::new());
            while let Some(part) = response.chunk().await? {
                bytes.extend_from_slice(&part);
                if bytes.len() > MOST {
                    break;
                }
            }
            Ok((status, bytes))
        });
        let (status, bytes) = answer.map_err(|error: reqwest::Error| format!("no answer: {}", chain(&error)))?;
        // Whatever else listens there may answer something else.
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status == 200 && body.is_null() {
            return Err("what answers there is something else".to_owned());
        }
        Ok(Answer { status, body })
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
