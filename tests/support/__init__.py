"""What the tests stand on: a protocol client and oracle of their own, which share no code with the product."""
