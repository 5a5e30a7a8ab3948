//! A MISP feed by URL.
