//! Cases that random questions may miss, one test each.
