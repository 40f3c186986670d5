"""Pairs of sentences to begin with in the sentence lab: one word, two senses."""

EXAMPLES = {
    "crane: bird, machine": (
        "the crane stood on one leg in the pond",
        "a tall crane stands at the building site",
    ),
    "crane: bird, bird": (
        "the crane stood on one leg in the pond",
        "a crane laid two eggs in its nest",
    ),
    "bank: money, river": ("she took her coins to the bank", "reeds grow on the bank of the river"),
    "bark: dog, tree": ("the bark of the dog was loud", "the bark of the old oak is thick"),
    "bat: animal, sport": ("a bat sleeps in the cave", "he hit the ball with his bat"),
    "mouse: animal, computer": (
        "the cat caught a mouse",
        "click with the left button of the mouse",
    ),
    "palm: hand, tree": ("she held a coin in her palm", "a palm gives shade on the beach"),
    "port: harbour, wine": ("the ship left the port at night", "he drank a glass of old port"),
    "spring: coil, season": (
        "the spring in the clock is broken",
        "in spring the trees have flowers",
    ),
    "star: film, sky": ("the star of the film was ill", "a bright star shone in the sky"),
    "virus: biology, computer": ("the virus made many people ill", "a virus deleted all the files"),
    "order of words": ("the dog bit the man", "the man bit the dog"),
}
