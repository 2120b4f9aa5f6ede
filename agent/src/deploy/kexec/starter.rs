//! The machine, as a start without the firmware needs it.

use std::path::Path;

use mesh_proto::facts;

use super::Kernel;
use crate::deploy::host::Part;

/// What starts kernels.
pub trait Starter {
    /// Shows a partition's file system below a folder, without changing a byte of it, for as long as `look` looks.
    ///
    /// # Errors
    /// Why it cannot be shown, for people; or what `look` says.
    fn mounted(
        &self,
        disk: &facts::Disk,
        part: &Part,
        file_system: &str,
        look: &mut dyn FnMut(&Path) -> Result<(), String>,
    ) -> Result<(), String>;

    /// Loads a kernel beside the running one.
    ///
    /// # Errors
    /// Why not, for people.
    fn load(&self, kernel: &Kernel) -> Result<(), String>;

    /// Forgets the loaded kernel.
    ///
    /// # Errors
    /// Why not, for people.
    fn unload(&self) -> Result<(), String>;

    /// Has the hardware reset the machine some minutes after it goes down, unless the new system takes over.
    ///
    /// # Errors
    /// Why not, for people.
    fn arm(&self) -> Result<(), String>;
}
