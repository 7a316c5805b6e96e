//! Protocol doubles with faults: the demo stack, the tests, the benches.
