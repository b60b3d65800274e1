//! What is around a filter in Kong: plugins, services, and `kong.conf`.

mod plugins;
mod services;
mod settings;

pub(super) use plugins::plugins;
pub(super) use services::services;
pub(super) use settings::settings;
