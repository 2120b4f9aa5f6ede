//! Images on machines: a disk is written, its system speaks, somebody is told; and what must never happen on the way.

mod acts;
mod deployed;
mod ext4;
mod kexec;
mod killers;
mod refused;
mod waits;
