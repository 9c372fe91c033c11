"""Weights copied from torch's layers to the course's, and back."""

from torch import nn
from torch.nn import functional as F

from attn_course.multi_head_attention import MultiHeadAttention

# By name: the module that the course's layers hold, torch's layers' function.
ACTIVATIONS = {"relu": (nn.ReLU, F.relu), "gelu": (nn.GELU, F.gelu)}
# The parts of a layer of each kind: the course's name, and torch's.
PARTS = {
    nn.TransformerEncoderLayer: {
        "attention": "self_attn",
        "mlp.0": "linear1",
        "mlp.3": "linear2",
        "norm_attention": "norm1",
        "norm_mlp": "norm2",
    },
    nn.TransformerDecoderLayer: {
        "attention": "self_attn",
        "cross_attention": "multihead_attn",
        "mlp.0": "linear1",
        "mlp.3": "linear2",
        "norm_attention": "norm1",
        "norm_cross": "norm2",
        "norm_mlp": "norm3",
    },
}


def layer_from_torch(cls: type[nn.Module], theirs: nn.Module) -> nn.Module:
    """Make one of our layers with the weights of one of torch's.

    Raises:
        ValueError: if torch's layer has no biases, or another activation.
    """
    names = [n for n, (_, f) in ACTIVATIONS.items() if theirs.activation is f]
    if not names:
        raise ValueError(
            f"theirs: expected one of the activations {tuple(ACTIVATIONS)}, "
            f"got {theirs.activation}"
        )
    if theirs.linear1.bias is None:
        raise ValueError("theirs: expected bias=True, got bias=False")
    ours = cls(
        theirs.self_attn.embed_dim,
        theirs.self_attn.num_heads,
        theirs.linear1.out_features,
        dropout=theirs.dropout.p,
        norm_first=theirs.norm_first,
        activation=names[0],
    ).to(theirs.linear1.weight)
    for name, torchs_name in _parts(type(theirs)):
        source = theirs.get_submodule(torchs_name)
        if isinstance(source, nn.MultiheadAttention):
            setattr(ours, name, MultiHeadAttention.from_torch(source))
        else:
            _copy(source, ours.get_submodule(name))
    return ours.train(theirs.training)


def layer_to_torch(ours: nn.Module, kind: type[nn.Module]) -> nn.Module:
    """Make one of torch's layers with the weights of one of ours."""
    names = [n for n, (c, _) in ACTIVATIONS.items() if type(ours.mlp[1]) is c]
    theirs = kind(
        ours.attention.dim,
        ours.attention.heads,
        ours.mlp[0].out_features,
        ours.add.dropout.p,
        names[0],
        batch_first=True,
        norm_first=ours.norm_first,
    ).to(ours.mlp[0].weight)
    for name, torchs_name in _parts(kind):
        part = ours.get_submodule(name)
        if isinstance(part, MultiHeadAttention):
            setattr(theirs, torchs_name, part.to_torch())
        else:
            _copy(part, theirs.get_submodule(torchs_name))
    return theirs.train(ours.training)


def _parts(kind: type[nn.Module]) -> list[tuple[str, str]]:
    """List the parts of a kind of layer, or of one that is built on it."""
    for known, parts in PARTS.items():
        if issubclass(kind, known):
            return list(parts.items())
    raise ValueError(
        f"theirs: expected one of {[k.__name__ for k in PARTS]}, "
        f"got {kind.__name__}"
    )


def _copy(source: nn.Module, target: nn.Module) -> None:
    """Copy the weights of a linear layer or a norm, and the norm's epsilon."""
    target.load_state_dict(source.state_dict())
    if isinstance(source, nn.LayerNorm):
        target.eps = source.eps
