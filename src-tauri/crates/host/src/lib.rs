//! Samples of the machine and of our processes.
