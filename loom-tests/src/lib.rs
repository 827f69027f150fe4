#![doc = "ringshm"]
