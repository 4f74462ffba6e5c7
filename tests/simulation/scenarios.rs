//! Hand-written scenarios, with exact times. Every checker is on in each.

mod grace;
