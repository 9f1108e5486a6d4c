//! Takes over what the Python package age-oauth left on disk: its store, and the profiles of the ArcGIS API for Python.
//! Everything about the predecessor's formats is in this folder.

pub mod migration;
pub mod package;
