"""How a function's source is found: the modules it needs, or a part of the script. None of it is run here."""


class Unfit(Exception):
    """It cannot travel as source; the message says why, in a few words."""
