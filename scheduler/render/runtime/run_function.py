"""Calls one Python function on the node where its job runs. Standard library only, Python 3.6 or newer.

    PYTHON run_function.py [--pickle-results] CONTROL_DIR

CONTROL_DIR/function/call.json names the function. Its source files are in function/src; or the function is pickled in
function/call.pkl, and cloudpickle is in the same folder. Its parameters are in CONTROL_DIR/params.json. The function
runs in the current directory. It leaves CONTROL_DIR/result.json (the dict that it returned, or {"result": value}), or
CONTROL_DIR/error.json and an exit code other than 0; each file is complete or does not exist.

In result.json tuples, sets and numpy arrays are lists, numpy scalars are numbers, paths are text, enum members are
their values, times are ISO 8601, dataclasses and namedtuples are objects, keys are text; NaN and Infinity are written
as Python's json writes them. A value that JSON cannot hold is an error, unless --pickle-results allows result.pkl.
"""

import io
import json
import os
import sys
import traceback

try:
    from collections.abc import Mapping, Set
except ImportError:  # Python 2 must reach the message that it is too old
    from collections import Mapping, Set

FAILED = 1
WRONG_PYTHON = 87  # exit code: the function needs another Python version
DEEPEST = 200  # nested levels of a result
WAYS_OUT = (
    "make it a module-level function with parameters that JSON can hold, set the site's `python:` to a Python {0}, "
    "or run it in a container that has one"
)


class Refused(Exception):
    """An error that is not in the user's code: the message is enough, without a traceback."""

    exit_code = FAILED


class WrongPython(Refused):
    exit_code = WRONG_PYTHON


def main(arguments):
    """Run the call in CONTROL_DIR. Returns the exit code of this process."""
    control = os.path.abspath([word for word in arguments if not word.startswith("--")][0])
    for name in ("result.json", "result.pkl", "error.json"):
        if os.path.exists(os.path.join(control, name)):
            os.remove(os.path.join(control, name))
    process = os.getpid()
    try:
        run(control, process, "--pickle-results" in arguments)
    except Refused as refusal:
        text = "error: {0}\n".format(refusal)
        sys.stderr.write(text)
        leave_error(control, "JobError", str(refusal), text)
        return refusal.exit_code
    except SystemExit as leaving:
        if os.getpid() != process:  # in a child process that the function has forked
            raise
        return exited(control, leaving.code)
    except Exception as error:
        return failed(control, error)
    return 0


def run(control, process, pickle_results):
    call = read_json(os.path.join(control, "function", "call.json"))
    check_python(call)
    find_modules_in(os.path.join(control, "function"), call)
    sys.argv[:] = [call["qualname"]]
    function, params = load(control, call)
    value = function(**params)
    if os.getpid() == process:
        leave_result(control, value, pickle_results)


def check_python(call):
    here = sys.version_info[:2]
    if here < (3, 6):
        raise WrongPython("a function job needs Python 3.6 or newer, and this is {0}".format(this_python()))
    if call["python"] and tuple(call["python"]) != here:
        version = "{0}.{1}".format(*call["python"])
        message = "the function {0} was pickled by Python {1} ({2}), which {3} cannot read: {4}"
        ways_out = WAYS_OUT.format(version)
        raise WrongPython(message.format(call["qualname"], version, call["why"], this_python(), ways_out))


def this_python():
    return "Python {0}.{1} ({2} on {3})".format(sys.version_info[0], sys.version_info[1], sys.executable, os.uname()[1])


def find_modules_in(folder, call):
    """Put the sent modules first on sys.path, instead of this file's folder, and the current directory last."""
    here = os.path.dirname(os.path.abspath(__file__))
    sent = [os.path.join(folder, "src")] + ([os.path.join(folder, "cloudpickle")] if call["python"] else [])
    others = [path for path in sys.path if os.path.abspath(path or ".") != here]
    sys.path[:] = sent + others + [os.getcwd()]
    taken = [name for name in call["modules"] if name in sys.modules]
    if taken:
        message = "the module {0}, which was sent with the function, has the name of a module of {1}: rename it"
        raise Refused(message.format(taken[0], this_python()))


def load(control, call):
    """Returns the function and its parameters."""
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


def leave_result(control, value, pickle_results):
    is_dict = isinstance(value, Mapping)
    try:
        plain = Plain().of(value, "result")
    except Refused:
        if not pickle_results:
            raise
        write(os.path.join(control, "result.pkl"), pickled(dict(value) if is_dict else {"result": value}))
        return
    text = json.dumps(plain if is_dict else {"result": plain})
    write(os.path.join(control, "result.json"), text.encode("ascii"))


def pickled(results):
    try:
        import cloudpickle as pickle
    except ImportError:
        import pickle
    return pickle.dumps(results, protocol=4)  # every Python from 3.4 on can read it


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
            raise Refused("the function ran, but {0} contains itself, or is nested too deeply".format(where[:200]))
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
        return self.of(plainer(value, where), where)

    def of_pairs(self, pairs, where):
        plain = {}
        for key, value in pairs:
            name = key_name(key)
            inside = "{0}[{1}]".format(where, json.dumps(name, ensure_ascii=False))
            if name in plain:
                raise Refused("the function ran, but two keys become the same text in JSON: {0}".format(inside))
            plain[name] = self.of(value, inside)
        return plain


def plainer(value, where):
    """Returns an array, a number, a time or a path as one of Python's own types."""
    for method in ("tolist", "item", "isoformat", "__fspath__"):
        if hasattr(value, method):
            try:
                plain = getattr(value, method)()
            except Exception:  # a method of the same name that does something else
                continue
            if type(plain) in (bool, int, float, str, list):
                return plain
    raise cannot(value, where)


def cannot(value, where):
    kind = value if isinstance(value, type) else type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else kind.__module__ + "." + kind.__name__
    what = "the class " + name if isinstance(value, type) else "of type " + name
    return Refused(
        "the function ran, but {0} is {1}, which JSON cannot hold: return numbers, text, and lists and dicts of these, "
        "or write it to an output file".format(where, what)
    )


def key_name(key):
    key = getattr(key, "_value_", key)
    return json.dumps(key) if key is None or isinstance(key, bool) else str(key)


def in_order(items):
    try:
        return sorted(items)
    except TypeError:
        return list(items)


def failed(control, error):
    """Report the error as Python does, without the frames of this file."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    text = "".join(traceback.format_exception(type(error), error, frames))
    hint = advice(error)
    sys.stderr.write(text + ("error: {0}\n".format(hint) if hint else ""))
    leave_error(control, type(error).__name__, message_of(error) + (": " + hint if hint else ""), text)
    return FAILED


def message_of(error):
    try:
        return str(error)
    except Exception:
        return "(its message cannot be shown)"


def advice(error):
    if isinstance(error, ImportError) and type(error).__name__ == "ModuleNotFoundError" and error.name:
        message = "the module {0} was not sent with the function, and {1} has none: install it, or set `python:`"
        return message.format(error.name, this_python())
    if isinstance(error, SyntaxError) and str(error.filename).startswith(sys.path[0]):
        return "{0} cannot read this source; it may be written for another version of Python".format(this_python())
    return ""


def exited(control, code):
    """The function called sys.exit(). Its exit code is kept; a message means 1."""
    if code is None or code == 0:
        leave_result(control, None, False)
        return 0
    if isinstance(code, int):
        leave_error(control, "SystemExit", "the function called sys.exit({0})".format(code), "")
        return code
    sys.stderr.write("{0}\n".format(code))
    leave_error(control, "SystemExit", str(code), "")
    return FAILED


def leave_error(control, kind, message, trace):
    error = {"type": kind, "message": message, "traceback": trace}
    write(os.path.join(control, "error.json"), json.dumps(error).encode("ascii"))


def read_json(path):
    with io.open(path, encoding="utf-8") as stream:
        return json.load(stream)


def write(path, content):
    """Write a file that is complete or does not exist, whatever happens meanwhile."""
    with open(path + ".tmp", "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(path + ".tmp", path)


def flush_each_line():
    """Make what the function prints appear in the log at once, in UTF-8, whatever the locale is."""
    kind = {"encoding": "utf-8", "errors": "backslashreplace", "line_buffering": True}
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(**kind)
        elif stream is not None:  # Python 3.6
            setattr(sys, name, io.TextIOWrapper(io.open(stream.fileno(), "wb", closefd=False), **kind))


if __name__ == "__main__":
    if sys.version_info >= (3, 6):
        flush_each_line()
    sys.exit(main(sys.argv[1:]))
