"""What a function returned, as values that JSON can hold. Part of run_function.py: standard library only, Python 3.6.

Tuples, sets and numpy arrays become lists, numpy scalars numbers, paths text, enum members their values, times ISO 8601,
dataclasses and namedtuples objects, keys text. A table would lose its index and names: it is refused.
"""

import json

try:
    from collections.abc import Mapping, Set
except ImportError:  # Python 2 must reach the message that it is too old
    from collections import Mapping, Set

DEEPEST = 200  # nested levels of a result
TABLES = ("pandas", "polars", "xarray", "pyarrow")  # packages whose objects have an index, names or types of columns


class Unsuitable(Exception):
    """JSON cannot hold the result. The message names the part."""


class Plain(object):
    """Converts a value to what JSON can hold. An error names the part of the value that cannot be converted."""

    def __init__(self):
        self.above = []

    def of(self, value, where):
        if value is None or value is True or value is False or type(value) in (int, float, str):
            return value
        if isinstance(value, type):
            raise cannot(value, where)
        if id(value) in self.above or len(self.above) > DEEPEST:
            raise Unsuitable("the function ran, but {0} contains itself, or is nested too deeply".format(where[:200]))
        self.above.append(id(value))
        plain = self.of_object(value, where)
        self.above.pop()
        return plain

    def of_object(self, value, where):
        if hasattr(value, "_value_"):  # an enum member
            return self.of(value._value_, where)
        for kind in (str, int, float):  # and their subclasses, such as numpy.float64
            if isinstance(value, kind):
                return getattr(kind, "__{0}__".format(kind.__name__))(value)
        if isinstance(value, Mapping):
            return self.of_pairs(value.items(), where)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return self.of_pairs(zip(value._fields, value), where)
        if hasattr(value, "__dataclass_fields__"):
            return self.of_pairs([(name, getattr(value, name)) for name in value.__dataclass_fields__], where)
        if isinstance(value, Set):
            return [self.of(item, where + " (an item)") for item in in_order(value)]
        if isinstance(value, (list, tuple, range)):
            return [self.of(item, "{0}[{1}]".format(where, at)) for at, item in enumerate(value)]
        refuse_table(value, where)
        if fields_of(value):
            return self.of_fields(value, where)
        return self.of(plainer(value, where), where)

    def of_fields(self, value, where):
        """A numpy array whose items have named fields: each item is an object."""
        if value.shape:
            return [self.of(item, "{0}[{1}]".format(where, at)) for at, item in enumerate(value)]
        return self.of_pairs([(name, value[name]) for name in fields_of(value)], where)

    def of_pairs(self, pairs, where):
        plain = {}
        for key, value in pairs:
            name = key_name(key)
            inside = "{0}[{1}]".format(where, json.dumps(name, ensure_ascii=False))
            if name in plain:
                raise Unsuitable("the function ran, but two keys become the same text in JSON: {0}".format(inside))
            plain[name] = self.of(value, inside)
        return plain


def refuse_table(value, where):
    packages = [base.__module__.partition(".")[0] for base in type(value).__mro__]
    if set(packages) & set(TABLES) and not hasattr(value, "isoformat"):  # pandas.Timestamp is a time
        raise Unsuitable(
            "the function ran, but {0} is {1}, whose index, names or types JSON would lose: return its contents as lists "
            "or dicts, such as those of to_dict(), or write it to an output file".format(where, "of type " + kind_of(value))
        )


def fields_of(value):
    return getattr(getattr(value, "dtype", None), "names", None) if hasattr(value, "shape") else None


def plainer(value, where):
    """Returns an array, a number, a time or a path as one of Python's own types."""
    unit = getattr(getattr(value, "dtype", None), "kind", "")
    if unit == "M":  # numpy's times: tolist() would return a count of nanoseconds
        return value.astype(str).tolist()
    for method in () if unit == "m" else ("tolist", "item", "isoformat", "__fspath__"):
        if hasattr(value, method):
            try:
                plain = getattr(value, method)()
            except Exception:  # a method of the same name that does something else
                continue
            if type(plain) in (bool, int, float, str, list):
                return plain
    raise cannot(value, where)


def cannot(value, where):
    what = "the class " + name_of(value) if isinstance(value, type) else "of type " + kind_of(value)
    return Unsuitable(
        "the function ran, but {0} is {1}, which JSON cannot hold: return numbers, text, and lists and dicts of these, "
        "or write it to an output file".format(where, what)
    )


def kind_of(value):
    return name_of(type(value))


def name_of(kind):
    return kind.__name__ if kind.__module__ == "builtins" else "{0}.{1}".format(kind.__module__, kind.__name__)


def key_name(key):
    key = getattr(key, "_value_", key)
    return json.dumps(key) if key is None or isinstance(key, bool) else str(key)


def in_order(items):
    try:
        return sorted(items)
    except Exception:
        return list(items)
