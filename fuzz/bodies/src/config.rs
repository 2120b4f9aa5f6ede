//! The config file: whatever it holds, the answer is a configuration that can be served or words that say what is wrong.

use std::{net::Ipv4Addr, path::Path};

use enforcer::config::{Config, ConfigError, Flags};

/// The input is the file.
pub fn fuzz_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Config::from_text(&text, Path::new("enforcer.toml"), &Flags::default()) {
        Ok(config) => can_be_served(&config),
        Err(error) => {
            if let ConfigError::Mistakes(mistakes) = &error {
                assert!(!mistakes.is_empty());
            }
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Every address that would be lent is of its subnet, and of no other.
fn can_be_served(config: &Config) {
    let masked = |ip: Ipv4Addr, prefix: u8| u32::from(ip) >> (32 - u32::from(prefix));
    for subnet in &config.subnets {
        let (first, last) = subnet.pool;
        assert!(first <= last && subnet.lease_s > 0);
        let of_it = |ip| masked(ip, subnet.prefix) == masked(subnet.network, subnet.prefix);
        assert!(of_it(first) && of_it(last));
    }
    assert!(config.http_port != 0 && !config.site.is_empty());
}
