//! Services, instances, probes, restart policy, dependency order, adoption.
