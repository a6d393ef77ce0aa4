//! Evidence about Leasehold's engine: what ships, run under a model checker and in simulation, and
//! judged by checkers.
