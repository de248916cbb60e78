"""How a Python function travels: the source that it needs, or a pickle. None of the user's code is run here."""


class Unfit(Exception):
    """A function or a value cannot travel as source. The message gives the reason in a few words."""
