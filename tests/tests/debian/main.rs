//! A fresh Debian under its own systemd, and our packages on it.

mod packages;
