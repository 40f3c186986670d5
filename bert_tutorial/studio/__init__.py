"""What is touched, not read: runs, the sentence lab, published networks, and their widgets."""
