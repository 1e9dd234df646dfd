"""Other ways to remove nodes, each in its best ordinary form, and the product among them."""
