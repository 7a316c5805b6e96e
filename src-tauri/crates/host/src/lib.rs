//! Samples of the machine and of our processes, once a second, at a cost that does not show.
//!
//! # Theory of operation
//!
//! [`Sampler::sample`] is called once a second from a thread that may block. What changes every
//! second and is cheap to ask (processor, memory, network, pressure) is asked every second; what is
//! dear or slow is asked rarely: volumes every 30 s, the graphics processor every 2 s (10 s where that loads
//! a driver's library), and the whole
//! process table only every 10 s, and only while someone looks ([`Sampler::set_watching`]).
//!
//! Of processes, only our own are read, one by one: the leader of every instance and its
//! descendants. Membership of a tree is walked when an instance is new and every fifth sample after
//! that, in turn, so that a hundred services do not all walk in the same second.
//!
//! Every rate needs two readings. The first is taken when the sampler is made; the first sample
//! waits until there is enough time between the two to divide by. An instance whose processor use
//! cannot be known yet (it ran before we first saw it) is left out of that one answer: unknown is
//! never reported as zero.
//!
//! The arithmetic is apart from the asking: [`cpu_time`], [`forecast`], [`split`], [`pressure`] and
//! [`rate`] are pure, and the parsers of [`os`] take text. Time comes in as a parameter, save for
//! the one wait above.

mod children;
pub mod cpu_time;
pub mod forecast;
mod gpu;
pub mod os;
pub mod pressure;
pub mod rate;
mod sampler;
pub mod split;
mod top;
mod volumes;

pub use sampler::{Sampler, Watched};
