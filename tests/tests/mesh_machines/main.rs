//! The mesh on real firmware: machines that nobody has heard of become members, are told to reboot over their link, and cannot be
//! impersonated.

mod capture;
mod discovered;
mod identity;
mod installed;
