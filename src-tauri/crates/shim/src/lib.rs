//! The tiny process that owns one child: std and rustix only; and its wire protocol.
