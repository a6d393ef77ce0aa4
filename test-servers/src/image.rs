//! This module defines the image from which a server is started.

use std::process::{Command, Stdio};

/// An image says how a server is started in a container.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// This is the name of the backend, such as `postgres`.
    pub name: &'static str,
    /// This is the public image, such as `postgres:17`.
    pub public: &'static str,
    /// The server listens on this port.
    pub port: u16,
    /// These environment variables are set, as the public image understands them.
    pub environment: &'static [(&'static str, &'static str)],
    /// This command follows the image's entry point.
    pub command: &'static [&'static str],
    /// This is the URL of the store, in which `ADDRESS` stands for the host and the port.
    pub url: &'static str,
}

impl Image {
    /// Returns the value of `LEASEHOLD_TEST_<NAME>_<WHAT>`.
    pub(super) fn told(&self, what: &str) -> Option<String> {
        let variable = format!("LEASEHOLD_TEST_{}_{what}", self.name.to_ascii_uppercase());
        std::env::var(variable).ok().filter(|value| !value.is_empty())
    }

    /// Returns the URL of a server that already runs, if the environment names one.
    #[must_use]
    pub fn given_url(&self) -> Option<String> {
        self.told("URL")
    }

    /// Returns the URL of a server at that address.
    #[must_use]
    pub fn url_at(&self, address: &str) -> String {
        self.url.replace("ADDRESS", address)
    }

    /// Returns the name and the tag of the image to start.
    #[must_use]
    pub fn chosen(&self) -> (String, String) {
        let local = format!("leasehold-test/{}:local", self.name);
        let chosen = self
            .told("IMAGE")
            .unwrap_or_else(|| if is_here(&local) { local } else { self.public.to_owned() });
        match chosen.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name.to_owned(), tag.to_owned()),
            _ => (chosen, "latest".to_owned()),
        }
    }
}

fn is_here(image: &str) -> bool {
    Command::new("docker")
        .args(["image", "inspect", image])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Returns whether `LEASEHOLD_TEST_SKIP`, a list of names with commas, excludes that backend.
#[must_use]
pub fn skipped(backend: &str) -> bool {
    std::env::var("LEASEHOLD_TEST_SKIP")
        .is_ok_and(|list| list.split(',').any(|name| name.trim() == backend))
}
