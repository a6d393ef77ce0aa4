//! Evidence about Leasehold's engine: what ships, under a model checker and in simulation.

pub mod model;
