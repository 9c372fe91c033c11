"""Say what a learner can do about an error, in the course's words."""

import traceback

from attn_course.checks.running import own_lines

_ONE_NUMBER = (
    "a function for one number got a whole tensor: use torch's (torch.exp "
    "instead of math.exp)"
)
_IN_PLACE = (
    "it changes its input in place; make a new tensor instead (x = x + 1, not "
    "x += 1)"
)
_TYPES = (
    "tensors of two types meet: what you make new must have the input's type "
    "(torch.ones(3, dtype=x.dtype), x.new_ones(3), mask.float())"
)
_BOOLEANS = (
    "&, | and ~ are for booleans, and here are numbers: make it a boolean "
    "tensor first (x.bool(), or a comparison such as x > 0)"
)
_PAST = (
    "an index points past the end: n things have the places 0 to n - 1 (and "
    "-1 for the last)"
)
_WHOLE = (
    "a size or a number of rounds must be a whole number: / makes a fraction, "
    "// a whole number"
)
_INDEX = "indices must be whole numbers: x.long()"
_MASK = "a mask must hold booleans: make them by a comparison, or .bool()"
_PAIR = (
    "max, min, sort and topk with a dimension give two things, the values and "
    "their places: take .values (or use amax, amin)"
)
_LIST = (
    "a list is no tensor: torch.tensor(numbers) or torch.stack(tensors) makes "
    "one of it"
)
_NUMBER = "a plain number is no tensor: torch.tensor(number) makes one of it"
_MATCH = (
    "in a matrix product the last size on the left must equal the last but "
    "one on the right: is one to be transposed?"
)
_BATCHED = (
    "torch.bmm wants (batch, n, m) and (batch, m, p); @ takes any number of "
    "dimensions in front"
)
_EINSUM = (
    "in einsum each letter is one dimension: as many letters as dimensions, "
    "and one letter has one size everywhere"
)
# What Python and torch say of the usual slips, and what a learner can do. The
# first that fits is said.
EXPLAINED = {
    "Can't call numpy()": "stay in torch: numpy cuts a result off from "
    "training (x.mean() instead of np.mean(x), torch.exp instead of np.exp)",
    "a leaf Variable that requires grad": _IN_PLACE,
    "only one element tensors can be converted": _ONE_NUMBER,
    "only length-1 arrays can be converted": _ONE_NUMBER,
    "elements cannot be converted to Scalar": _ONE_NUMBER,
    "could not infer output dtype": "a mean is of numbers with a fraction, and "
    "here are booleans or whole ones: x.float().mean()",
    "with a bool tensor is not supported": "booleans are turned round by ~: "
    "~mask instead of 1 - mask",
    "on a bool tensor is not supported": "booleans are turned round by ~: "
    "~mask instead of -mask",
    "torch.return_types": _PAIR,
    "can only concatenate tuple": _PAIR,
    "'float' object cannot be interpreted as an integer": _WHOLE,
    "must be tuple of ints, not float": _WHOLE,
    "combination of arguments - got (float": _WHOLE,
    "view size is not compatible": "view wants numbers that lie in order in "
    "memory, and after transpose they do not: use reshape instead",
    "is invalid for input of size": "another shape must hold as many numbers: "
    "the product of its sizes is not theirs",
    "zero-dimensional tensor": "torch.cat joins along a dimension that is "
    "there; single numbers are put side by side by torch.stack",
    "Dimension out of range": "a dimension is named that is not there: x.shape "
    "shows which there are (torch.stack makes a new one, torch.cat does not)",
    "Sizes of tensors must match except": "torch.cat joins tensors whose "
    "sizes are equal in all other dimensions: compare their shapes",
    "expects a non-empty TensorList": "a list of tensors to be joined is empty "
    "in this case: what is the result then?",
    "tensor to be equal size": "torch.stack wants tensors of equal shape: "
    "compare their shapes",
    "index out of range": _PAST,
    "is out of bounds for dimension": _PAST,
    "tensors used as indices must be": _INDEX,
    "dtype int32/int64 for index": _INDEX,
    "indexing tensors could not be broadcast": "tensors used side by side as "
    "indices must have shapes that fit: torch.arange(n)[:, None] and (n, k)",
    "index tensor of type LongTensor": _INDEX,
    "argument #1 'indices'": _INDEX,
    "only supports boolean masks": _MASK,
    "condition to be a boolean tensor": _MASK,
    "einsum()": _EINSUM,
    "batch2 tensor to be": _BATCHED,
    "must be a 3D tensor": _BATCHED,
    "expected scalar type": _TYPES,
    "must have the same dtype": _TYPES,
    "to have the same dtype": _TYPES,
    "bitwise_": _BOOLEANS,
    "Boolean value of Tensor with more than one value": "if, and, or, not, "
    "max and min of Python want one truth, and here are many: use torch.where, "
    "&, |, ~, torch.maximum or torch.minimum",
    "shapes cannot be multiplied": _MATCH,
    "1D tensors expected": "torch.dot is for two vectors; for tensors use @",
    "must match the size of tensor b": "two shapes are compared from the right, "
    "and a size must be equal, or 1: is a dimension missing (unsqueeze, None)?",
    "must match the existing size": "expand changes only a size of 1, and is "
    "compared from the right: is a dimension missing (unsqueeze, None)?",
    "The shape of the mask": "a mask used as an index has the shape of what it "
    "picks from, or of its first dimensions",
    "'list' object has no attribute": _LIST,
    "must be Tensor, not list": _LIST,
    "'int' object has no attribute": _NUMBER,
    "'float' object has no attribute": _NUMBER,
    "must be Tensor, not int": _NUMBER,
    "must be Tensor, not float": _NUMBER,
    "'int' object is not iterable": "a loop goes over things, and here is one "
    "number: range(n)",
    "too many values to unpack": "there are more things on the right of = than "
    "names on the left",
    "not enough values to unpack": "there are fewer things on the right of = "
    "than names on the left",
    "RecursionError": "it calls itself without end: in which case does it stop?",
    "ZeroDivisionError": "it divides by 0: which input is empty, or 0?",
    "UnboundLocalError": "a name is used before it gets a value: in a loop or "
    "an if that was not run?",
    "NameError": "a name has no value here: is it spelled as where it was made, "
    "is its import or its cell run?",
    "SystemExit": "it ends the program: return the result instead",
}
_SIGNATURE = (
    "the function must take the arguments that the exercise names, in that "
    "order"
)
_CALL = (
    "a function is called with other arguments than it takes: its name and a "
    "question mark in a cell of its own (torch.softmax?) shows them"
)


def explain_error(error: BaseException) -> str:
    """Say what a learner can do about an error, or nothing."""
    said = "".join(traceback.format_exception_only(error))
    if isinstance(error, TypeError) and "argument" in said:
        if "positional argument" in said or "keyword argument" in said:
            return _CALL if own_lines(error) else _SIGNATURE
    for words, help_ in EXPLAINED.items():
        if words in said:
            return help_
    return ""
