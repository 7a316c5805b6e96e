//! Charts drawn by plotters: SVG and PNG for reports.
