//! A collection of a TAXII 2.1 server.
