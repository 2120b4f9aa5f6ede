//! The lab and the stories.
