"""Calls one Python function on the node where its job runs. Standard library only, Python 3.6 or newer.

    PYTHON run_function.py [--pickle-results] CONTROL_DIR

CONTROL_DIR/function/call.json names the function. Its source files are in function/src; or the function is pickled in
function/call.pkl, and cloudpickle is in the same folder. Its parameters are in CONTROL_DIR/params.json. The function
runs in the current directory. It leaves CONTROL_DIR/result.json (the dict that it returned; or {"result": value}, with a
line end before the value, which distinguishes it from such a dict), or CONTROL_DIR/error.json and an exit code other than
0; each file is complete or does not exist. harness.sh finds neither file if the function ended the process by other means
(os._exit, exec).

function_result.py, in the same folder, converts the result. NaN and Infinity are written as Python's json writes them.
A value that JSON cannot hold is an error, unless --pickle-results allows result.pkl.
"""

import ast
import io
import json
import os
import sys
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)  # it is not there with PYTHONSAFEPATH=1
written, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # all jobs of the bundle share this folder
from function_result import Mapping, Plain, Unsuitable  # noqa: E402

sys.dont_write_bytecode = written
del sys.path[0], sys.modules["function_result"]  # a module of the user may have this name

FAILED = 1
WRONG_PYTHON = 87  # exit code: the function needs another Python version
LONGEST = 200000  # characters of a traceback or message in error.json
KEPT = 20000  # characters at the beginning and at the end of a longer one
WAYS_OUT = (
    "make it a module-level function with parameters that JSON can hold, set the site's `python:` to a Python {0}, "
    "or run it in a container that has one"
)


FILLED = ("defaultdict", "Counter", "OrderedDict", "deque")  # of collections: a plain value for one is its content
DOING = ["the function"]  # the last one is at work


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
        leave_error(control, "JobError", str(refusal), text)
        say(text)
        return refusal.exit_code
    except SystemExit as leaving:
        if os.getpid() != process:  # in a child process that the function has forked
            raise
        return exited(control, leaving.code)
    except BaseException as error:
        code = failed(control if os.getpid() == process else None, error)
        if not isinstance(error, KeyboardInterrupt):
            return code
        sys.excepthook = lambda *_: None  # it is reported already; Python ends as SIGINT ends it
        raise
    return 0


def run(control, process, pickle_results):
    call = read_json(os.path.join(control, "function", "call.json"))
    check_python(call)
    find_modules_in(os.path.join(control, "function"), call)
    sys.argv[:] = [call["qualname"]]
    function, params = load(control, call)
    set_values(call)
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
    sent = [os.path.join(folder, "src")] + ([os.path.join(folder, "cloudpickle")] if call["python"] else [])
    others = [path for path in sys.path if os.path.abspath(path or ".") != HERE]
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
    DOING.append("the module {0}, when it was imported,".format(call["module"]))
    __import__(call["module"])
    DOING.pop()
    found = sys.modules[call["module"]]
    for name in call["qualname"].split("."):
        found = getattr(found, name)
    return found, params


def set_values(call):
    """Give variables of modules the values that they had when the function was sent, if they differ from the source.
    Variables with the same number have one and the same object. A container of `collections` gets the content."""
    made = {}
    for module, values in sorted(call.get("values", {}).items()):
        __import__(module)
        for name, (number, text) in sorted(values.items()):
            owner = sys.modules[module]
            for part in name.split(".")[:-1]:
                owner = getattr(owner, part)
            last = name.split(".")[-1]
            old, value = getattr(owner, last, None), ast.literal_eval(text)
            if number not in made and type(old).__name__ in FILLED and type(old).__module__ == "collections":
                old.clear()
                (old.extend if hasattr(old, "extend") else old.update)(value)
                made[number] = old
            setattr(owner, last, made.setdefault(number, value))


def leave_result(control, value, pickle_results):
    is_dict = isinstance(value, Mapping)
    try:
        plain = Plain().of(value, "result")
        text = (json.dumps(plain) if is_dict else '{{"result":\n{0}}}'.format(json.dumps(plain))).encode("ascii")
    except Unsuitable as unsuitable:
        if not pickle_results:
            raise Refused(str(unsuitable))
        write_result(control, "result.pkl", pickled(dict(value) if is_dict else {"result": value}))
    except (ValueError, OverflowError) as error:  # a number of more than 4300 digits
        raise Refused("the function ran, but JSON cannot hold its result: {0}".format(error))
    else:
        write_result(control, "result.json", text)


def write_result(control, name, content):
    try:
        write(os.path.join(control, name), content)
    except EnvironmentError as error:
        raise Refused("the function ran, but its result cannot be written: {0}".format(error))


def pickled(results):
    try:
        import cloudpickle as pickle
    except ImportError:
        import pickle
    return pickle.dumps(results, protocol=4)  # every Python from 3.4 on can read it


def failed(control, error):
    """Report the error as Python does, without the frames of this file."""
    kind, text, hint = type(error).__name__[:200], shown(error), advice(error)
    leave_error(control, kind, message_of(error) + (": " + hint if hint else ""), text)
    if len(text) > LONGEST:
        text += "error: {0}: its traceback and message have {1} characters\n".format(kind, len(text))
    say(text + ("error: {0}\n".format(hint) if hint else ""))
    return FAILED


def shown(error):
    ours, frames = (main.__code__.co_filename, Plain.of.__code__.co_filename), error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename in ours:
        frames = frames.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except BaseException:  # a method of the user's exception has failed
        return "{0}: {1}\n".format(type(error).__name__, message_of(error))


def message_of(error):
    try:
        return str(error)
    except BaseException:
        return "(its message cannot be shown)"


def advice(error):
    if isinstance(error, ImportError) and type(error).__name__ == "ModuleNotFoundError" and error.name:
        message = (
            "the module {0} was not sent with the function, and {1} has none. Three ways out: install it there; set `python:` "
            "in the site file to a Python that has it; or run the function in a container that has it (container_image)"
        )
        return message.format(error.name, this_python())
    if isinstance(error, SyntaxError) and str(error.filename).startswith(sys.path[0]):
        return "{0} cannot read this source; it may be written for another version of Python".format(this_python())
    return ""


def exited(control, code):
    """The function called sys.exit(), so it has not returned: this is a failure even with 0. Returns the exit code that
    a shell sees, or 1 where it would see 0."""
    if code is not None and not isinstance(code, int):
        text = message_of(code)
        leave_error(control, "SystemExit", text, "")
        say(text + "\n")
        return FAILED
    seen = 0 if code is None else code & 255 if -(2 ** 63) <= code < 2 ** 63 else 255  # an overflow is -1 in Python
    message = "{0} called sys.exit({1})".format(DOING[-1], "" if code is None else message_of(code)[:60])
    if seen == 0:
        message += ", so the function did not return, and there is no result: a function that succeeds must return"
        say("error: {0}\n".format(message))
    leave_error(control, "SystemExit", message, "")
    return seen or FAILED


def leave_error(control, kind, message, trace):
    if control is None:
        return
    error = {"type": kind, "message": shortened(message, kind), "traceback": shortened(trace, kind)}
    try:
        write(os.path.join(control, "error.json"), json.dumps(error).encode("ascii"))
    except EnvironmentError as problem:
        say("error: the error cannot be written to a file: {0}\n".format(problem))


def shortened(text, kind):
    if len(text) <= LONGEST:
        return text
    cut = "\n[{0} characters of this {1} are left out]\n".format(len(text) - 2 * KEPT, kind)
    return text[:KEPT] + cut + text[-KEPT:]


def say(text):
    """Write to stderr, even if the function has closed or replaced it."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except Exception:
        try:
            os.write(2, text.encode("utf-8", "backslashreplace"))
        except EnvironmentError:
            pass  # error.json has the text


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
