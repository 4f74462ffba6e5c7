//! An order, and what makes one valid.

use serde::{Deserialize, Serialize};

/// The longest name of an item, in characters.
pub const LONGEST_ITEM: usize = 200;

/// The largest quantity of one order.
pub const LARGEST_QUANTITY: i64 = 1_000_000;

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderState {
    /// Stored, not processed yet.
    Pending,
    /// Processed.
    Done,
}

/// A stored order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Order {
    /// Its number, never used twice.
    pub id: i64,
    /// What is ordered.
    pub item: String,
    /// How many of it.
    pub quantity: i64,
    /// How far it has come.
    pub state: OrderState,
    /// When it was stored, in UTC.
    pub received_at: String,
}

/// An order as a client sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// What is ordered.
    pub item: String,
    /// How many of it.
    pub quantity: i64,
}

/// What is wrong with an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrder {
    /// No item is named.
    #[error("the item is empty; name what is ordered")]
    EmptyItem,
    /// The item's name is too long.
    #[error("the item has {0} characters; use at most {LONGEST_ITEM}")]
    LongItem(usize),
    /// The quantity makes no sense.
    #[error("the quantity is {0}; use a number from 1 to {LARGEST_QUANTITY}")]
    Quantity(i64),
}

impl NewOrder {
    /// Says what is wrong with the order, if anything.
    pub fn validate(&self) -> Result<(), InvalidOrder> {
        let length = self.item.chars().count();
        if self.item.trim().is_empty() {
            Err(InvalidOrder::EmptyItem)
        } else if length > LONGEST_ITEM {
            Err(InvalidOrder::LongItem(length))
        } else if !(1..=LARGEST_QUANTITY).contains(&self.quantity) {
            Err(InvalidOrder::Quantity(self.quantity))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(item: &str, quantity: i64) -> NewOrder {
        NewOrder { item: item.to_owned(), quantity }
    }

    #[test]
    fn an_ordinary_order_is_valid() {
        assert_eq!(order("tea", 1).validate(), Ok(()));
        assert_eq!(order(&"ä".repeat(LONGEST_ITEM), LARGEST_QUANTITY).validate(), Ok(()));
    }

    #[test]
    fn a_senseless_order_is_not() {
        assert_eq!(order(" \t", 1).validate(), Err(InvalidOrder::EmptyItem));
        assert_eq!(order(&"x".repeat(201), 1).validate(), Err(InvalidOrder::LongItem(201)));
        assert_eq!(order("tea", 0).validate(), Err(InvalidOrder::Quantity(0)));
        assert_eq!(order("tea", 1_000_001).validate(), Err(InvalidOrder::Quantity(1_000_001)));
    }
}
