"""Networks on disk: our own checkpoints, and published BERTs with their WordPiece vocabularies."""
