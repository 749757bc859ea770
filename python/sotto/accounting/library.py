"""The C interface of python/accounting/c_api.h: JSON in, JSON out."""
import ctypes
import json
import math
import os
import pathlib

NAME = "libsotto_accounting.so"
PLAN = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_double, ctypes.c_void_p)
_loaded = None


def _places():
    """$SOTTO_ACCOUNTING, an installation (lib/python/sotto/accounting in the prefix), a build in the source tree."""
    if "SOTTO_ACCOUNTING" in os.environ:
        return [pathlib.Path(os.environ["SOTTO_ACCOUNTING"])]
    here = pathlib.Path(__file__).resolve()
    return [here.parents[3] / NAME, here.parents[3] / "build" / "release" / "lib" / NAME]


def _library():
    global _loaded
    if _loaded is None:
        places = _places()
        found = next((place for place in places if place.exists()), None)
        if found is None:
            raise ImportError(f"{NAME} is not at {' nor at '.join(map(str, places))}; build it with `make build`, or set "
                              "SOTTO_ACCOUNTING to its path")
        _loaded = ctypes.CDLL(str(found))
        _loaded.sotto_accounting_ask.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p)]
        _loaded.sotto_accounting_calibrate.argtypes = [ctypes.c_char_p, PLAN, ctypes.c_void_p,
                                                       ctypes.POINTER(ctypes.c_void_p)]
        _loaded.sotto_accounting_free.argtypes = [ctypes.c_void_p]
    return _loaded


def _call(function, *arguments):
    text = ctypes.c_void_p()
    code = function(*arguments, ctypes.byref(text))
    try:
        words = ctypes.string_at(text).decode() if text else "out of memory"
    finally:
        _library().sotto_accounting_free(text)
    if code == 0:
        return json.loads(words)
    raise (ValueError if code == 2 else RuntimeError)(words)


def _encode(value):
    """JSON has no NaN and no infinity: they go as text, which the library refuses, saying where they stand."""
    def finite(each):
        if isinstance(each, dict):
            return {key: finite(inner) for key, inner in each.items()}
        if isinstance(each, list):
            return [finite(inner) for inner in each]
        return str(each) if isinstance(each, float) and not math.isfinite(each) else each
    return json.dumps(finite(value)).encode()


def ask(**question):
    return _call(_library().sotto_accounting_ask, _encode(question))


def calibrate(plan, **question):
    """`plan(value)` gives the events at a value; an exception that it raises is raised here."""
    failure = []
    alive = [None]  # the text that was handed over last

    def text_of(value, _):
        try:
            alive[0] = ctypes.create_string_buffer(_encode(plan(value)))
            return ctypes.addressof(alive[0])
        except BaseException as error:  # nothing may be raised through C; it goes on below
            failure.append(error)
            return None

    try:
        return _call(_library().sotto_accounting_calibrate, _encode(question), PLAN(text_of), None)
    except RuntimeError:
        if failure:
            raise failure[0] from None
        raise
