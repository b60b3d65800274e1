//! How containers are, by what `docker ps` says.

/// The one that does its work and ends.
const ONE_SHOT: &str = "install";

/// A container of the project.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) service: String,
    /// `Up 3 seconds (healthy)`.
    pub(super) status: String,
}

/// Whether its work can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Its probe says so; or it has done its work.
    Well,
    /// Nothing is known yet.
    Coming,
    /// Its probe says that it isn't, or it has ended.
    Sick,
}

// === impl Container ===

impl Container {
    /// From `service<tab>status`.
    pub(super) fn read(line: &str) -> Option<Self> {
        let (service, status) = line.split_once('\t')?;
        Some(Self { service: service.to_owned(), status: status.to_owned() })
    }

    pub(super) fn health(&self) -> Health {
        if self.service == ONE_SHOT { self.done() } else { self.probed() }
    }

    fn done(&self) -> Health {
        match () {
            () if self.says("Exited (0)") => Health::Well,
            () if self.says("Exited") => Health::Sick,
            () => Health::Coming,
        }
    }

    fn probed(&self) -> Health {
        let ended = ["(unhealthy)", "Exited", "Dead", "Restarting"];
        match () {
            () if self.says("(healthy)") => Health::Well,
            () if ended.iter().any(|words| self.says(words)) => Health::Sick,
            () => Health::Coming,
        }
    }

    fn says(&self, words: &str) -> bool {
        self.status.contains(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(line: &str) -> Health {
        Container::read(line).unwrap().health()
    }

    #[test]
    fn who_has_a_probe_is_well_when_it_says_so() {
        assert_eq!(health("edge-a\tUp 3 seconds (healthy)"), Health::Well);
        assert_eq!(health("edge-a\tUp 1 second (health: starting)"), Health::Coming);
        assert_eq!(health("edge-a\tCreated"), Health::Coming);
        assert_eq!(health("edge-a\tUp 40 seconds (unhealthy)"), Health::Sick);
        assert_eq!(health("edge-a\tExited (0) 2 seconds ago"), Health::Sick);
    }

    #[test]
    fn who_has_one_thing_to_do_is_well_when_it_is_done() {
        assert_eq!(health("install\tUp 1 second"), Health::Coming);
        assert_eq!(health("install\tExited (0) 3 seconds ago"), Health::Well);
        assert_eq!(health("install\tExited (1) 3 seconds ago"), Health::Sick);
        assert_eq!(Container::read("nonsense"), None);
    }
}
