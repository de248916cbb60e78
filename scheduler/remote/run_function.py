"""Calls one Python function on the machine where its job runs. Standard library only, Python 3.6 or newer.

    PYTHON run_function.py [--pickle-results] CONTROL_DIR

CONTROL_DIR/function/call.json says which function; its sources are in function/src, or it is pickled in
function/call.pkl with cloudpickle beside it; its parameters are in CONTROL_DIR/params.json. It runs in the current
directory and leaves CONTROL_DIR/result.json (the dict it returned, or {"result": value}), or error.json and an exit
code that is not 0. Both are whole or absent. It imports nothing of the package and needs no other folder.

What JSON cannot say, result.json says so: tuples, sets and numpy arrays are lists, numpy scalars numbers, paths and
enum members their values, times ISO 8601, dataclasses and namedtuples objects; NaN and Infinity are Python's words.
"""

import io
import json
import os
import sys
import traceback

try:
    from collections.abc import Mapping, Set
except ImportError:  # Python 2, which gets as far as being told so
    from collections import Mapping, Set

WRONG_PYTHON = 87  # the exit code when the function needs another Python than the one that runs this
FAILED = 1

WAYS_OUT = (
    "make it a module-level function with parameters that JSON can hold, set the site's `python:` to a Python {0}, "
    "or run it in a container that has one"
)


class Refused(Exception):
    """What went wrong is not in the user's code; the message is all there is to say."""

    def __init__(self, message, exit_code=FAILED):
        Exception.__init__(self, message)
        self.exit_code = exit_code


def main(arguments):
    """Run the call in CONTROL_DIR; the process's exit code."""
    control = os.path.abspath([word for word in arguments if not word.startswith("--")][0])
    for name in ("result.json", "result.pkl", "error.json"):
        remove(os.path.join(control, name))
    try:
        run(control, "--pickle-results" in arguments)
    except Refused as refusal:
        sys.stderr.write("error: {0}\n".format(refusal))
        leave_error(control, "JobError", str(refusal), "error: {0}\n".format(refusal))
        return refusal.exit_code
    except SystemExit as leaving:
        return left_by_itself(control, leaving)
    except Exception as error:
        return failed(control, error)
    return 0


def run(control, pickle_results):
    call = read_json(os.path.join(control, "function", "call.json"))
    check_python(call)
    find_modules_in(os.path.join(control, "function"), call)
    sys.argv[:] = [call["qualname"]]
    function, params = load(control, call)
    leave_result(control, function(**params), pickle_results)


# what travelled -------------------------------------------------------------------------------------------------


def check_python(call):
    here = sys.version_info[:2]
    if here < (3, 6):
        raise Refused("a function job needs Python 3.6 or newer, this is {0}".format(describe_python()), WRONG_PYTHON)
    needed = call.get("python")
    if needed and tuple(needed) != here:
        version = "{0}.{1}".format(*needed)
        raise Refused(
            "the function {0} was pickled by Python {1} ({2}), and cannot be read by {3}: ".format(
                call["qualname"], version, call.get("why") or "its source could not be sent", describe_python()
            )
            + WAYS_OUT.format(version),
            WRONG_PYTHON,
        )


def describe_python():
    return "Python {0}.{1} ({2} on {3})".format(sys.version_info[0], sys.version_info[1], sys.executable, host())


def host():
    return os.uname()[1]


def find_modules_in(folder, call):
    """Put what travelled first on the path, instead of the folder of this file; the current directory comes last."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != here]
    sys.path[:0] = [os.path.join(folder, "src")] + ([os.path.join(folder, "cloudpickle")] if call.get("python") else [])
    sys.path.append(os.getcwd())
    for name in call.get("modules", ()):
        if name in sys.modules:
            raise Refused(
                "the module {0}, which came along, has the name of a module of {1} itself: rename it".format(
                    name, describe_python()
                )
            )


def load(control, call):
    if call["how"] == "pickle":
        import pickle

        with open(os.path.join(control, "function", "call.pkl"), "rb") as stream:
            return pickle.load(stream)
    own = os.path.join(control, "function", "params.json")
    params = read_json(own if os.path.exists(own) else os.path.join(control, "params.json"))
    __import__(call["module"])
    found = sys.modules[call["module"]]
    for name in call["qualname"].split("."):
        found = getattr(found, name)
    return found, params


# what comes home ------------------------------------------------------------------------------------------------


def leave_result(control, value, pickle_results):
    results = value if isinstance(value, Mapping) else {"result": value}
    try:
        plain = Plain().of(value, "result")
        text = json.dumps(plain if isinstance(value, Mapping) else {"result": plain})
    except Refused:
        if not pickle_results:
            raise
        write(os.path.join(control, "result.pkl"), pickled(dict(results)))
    else:
        write(os.path.join(control, "result.json"), text.encode("ascii"))


def pickled(results):
    try:
        import cloudpickle as pickle
    except ImportError:
        import pickle
    return pickle.dumps(results, protocol=4)  # read by any Python from 3.4 on


class Plain(object):
    """Turns a value into what JSON can hold, and says where the value is that it cannot."""

    def __init__(self):
        self.above = []

    def of(self, value, where):
        if value is None or value is True or value is False:
            return value
        for kind in (int, float, str):
            if isinstance(value, kind) and not hasattr(value, "_value_"):
                return kind(value)
        if isinstance(value, type):
            raise self.cannot(value, where)
        if id(value) in self.above or len(self.above) > 200:
            raise Refused("{0} holds itself, or goes too deep: JSON cannot hold that".format(where))
        self.above.append(id(value))
        try:
            return self.of_container(value, where)
        finally:
            self.above.pop()

    def of_container(self, value, where):
        if isinstance(value, Mapping):
            return self.of_pairs(value.items(), where)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return self.of_pairs(zip(value._fields, value), where)
        if hasattr(value, "__dataclass_fields__"):
            return self.of_pairs([(name, getattr(value, name)) for name in value.__dataclass_fields__], where)
        if isinstance(value, (list, tuple)):
            return [self.of(item, "{0}[{1}]".format(where, at)) for at, item in enumerate(value)]
        if isinstance(value, Set):
            return [self.of(item, where + "{...}") for item in in_order(value)]
        return self.of_object(value, where)

    def of_object(self, value, where):
        if hasattr(value, "_value_"):  # an enum member
            return self.of(value._value_, where)
        for method in ("tolist", "item", "isoformat", "__fspath__"):  # arrays, numbers, times, paths
            if callable(getattr(value, method, None)):
                return self.by(method, value, where)
        raise self.cannot(value, where)

    def by(self, method, value, where):
        plain = getattr(value, method)()
        if type(plain) is type(value):
            raise self.cannot(value, where)
        return self.of(plain, where)

    def of_pairs(self, pairs, where):
        plain = {}
        for key, value in pairs:
            name = key_name(key)
            inside = "{0}[{1}]".format(where, json.dumps(name))
            if name in plain:
                raise Refused("two keys of {0} become the same in JSON: {1}".format(where, json.dumps(name)))
            plain[name] = self.of(value, inside)
        return plain

    def cannot(self, value, where):
        kind = type(value)
        name = kind.__name__ if kind.__module__ == "builtins" else kind.__module__ + "." + kind.__name__
        return Refused(
            "the function ran, but {0} is a {1}, which JSON cannot hold: return numbers, text, lists and dicts, "
            "or leave it in an output file".format(where, name)
        )


def key_name(key):
    if isinstance(key, str):
        return str(key)
    words = {True: "true", False: "false", None: "null"}
    return words[key] if key is None or isinstance(key, bool) else str(key)


def in_order(items):
    try:
        return sorted(items)
    except TypeError:
        return list(items)


# what went wrong ------------------------------------------------------------------------------------------------


def failed(control, error):
    """Say it as Python would have, without the frames of this file."""
    steps = error.__traceback__
    while steps is not None and steps.tb_frame.f_code.co_filename == __file__:
        steps = steps.tb_next
    text = "".join(traceback.format_exception(type(error), error, steps))
    hint = advice(error)
    sys.stderr.write(text + ("error: {0}\n".format(hint) if hint else ""))
    message = str(error) + (": " + hint if hint else "")
    leave_error(control, type(error).__name__, message, text)
    return FAILED


def advice(error):
    if isinstance(error, ImportError) and getattr(error, "name", None) and type(error) is not ImportError:
        return "the module {0} did not come along and is not installed over there, in {1}".format(
            error.name, describe_python()
        )
    if isinstance(error, SyntaxError):
        return "the source came from another Python and is not understood by {0}".format(describe_python())
    return ""


def left_by_itself(control, leaving):
    """sys.exit() in the function: its code stands, a message means 1."""
    code = leaving.code
    if code is None or code == 0:
        leave_result(control, None, False)
        return 0
    if isinstance(code, int):
        leave_error(control, "SystemExit", "the function left with exit code {0}".format(code), "")
        return code
    sys.stderr.write("{0}\n".format(code))
    leave_error(control, "SystemExit", str(code), "")
    return FAILED


def leave_error(control, kind, message, trace):
    error = {"type": kind, "message": message, "traceback": trace}
    write(os.path.join(control, "error.json"), json.dumps(error).encode("ascii"))


# files ----------------------------------------------------------------------------------------------------------


def read_json(path):
    with io.open(path, encoding="utf-8") as stream:
        return json.load(stream)


def write(path, content):
    """The whole file or none, whatever happens meanwhile."""
    with open(path + ".tmp", "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(path + ".tmp", path)


def remove(path):
    if os.path.exists(path):
        os.remove(path)


def speak_line_by_line():
    """What the function prints is in the log at once, in UTF-8, whatever the locale over there."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        stream.flush()
        opened = io.TextIOWrapper(stream.detach(), "utf-8", "backslashreplace", line_buffering=True)
        setattr(sys, name, opened)


if __name__ == "__main__":
    if sys.version_info >= (3, 6):
        speak_line_by_line()
    sys.exit(main(sys.argv[1:]))
