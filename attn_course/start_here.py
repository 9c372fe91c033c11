"""Lesson 00: is this machine ready, where does the road lead, what is a shape?

Reading order: ``environment`` compares what is installed with what the course
was tested with, ``named_shape`` says a shape in words, ``ROAD`` is the map of
the course, ``GLOSSARY`` its terms in English and Chinese.
"""

import re
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"


class Part(NamedTuple):
    """One part of the environment, and whether it is as tested."""

    name: str
    wanted: str
    found: str

    @property
    def ready(self) -> bool:
        """Say whether the version is the one that the course pins."""
        return self.found.split("+")[0] == self.wanted


def environment(requirements: Path = REQUIREMENTS) -> list[Part]:
    """Compare each package that the course pins with the installed one.

    Returns:
        One :class:`Part` per ``name==version`` line; ``found`` is "missing"
        for a package that is not installed.

    Raises:
        FileNotFoundError: if the requirements file is not there; the message
            says where it was expected.
    """
    if not requirements.is_file():
        raise FileNotFoundError(
            f"requirements: expected a file at {requirements}; open the "
            "course from its own folder"
        )
    parts = []
    for line in requirements.read_text("utf-8").splitlines():
        pin = re.fullmatch(r"([\w.-]+)==([\w.+-]+)", line.strip())
        if not pin:
            continue
        name, wanted = pin.groups()
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            found = "missing"
        parts.append(Part(name, wanted, found))
    return parts


def named_shape(tensor: Tensor, names: str) -> str:
    """Say a tensor's shape with a name for each dimension.

    ``named_shape(x, "batch length dim")`` is ``"batch 2, length 5, dim 8"``.

    Raises:
        ValueError: if the number of names is not the number of dimensions.
    """
    words = names.split()
    if len(words) != tensor.dim():
        raise ValueError(
            f"names: expected {tensor.dim()} names for shape "
            f"{tuple(tensor.shape)}, got {len(words)}: {names!r}"
        )
    return ", ".join(
        f"{word} {size}" for word, size in zip(words, tensor.shape)
    )


class Lesson(NamedTuple):
    """One stop of the road."""

    name: str
    part: str
    question: str


ROAD = [
    Lesson("00_start_here", "start", "Is my machine ready?"),
    Lesson("01_dot_product", "foundations", "How to look up softly?"),
    Lesson("02_scaled_dot_product", "foundations", "Why divide by sqrt(d)?"),
    Lesson("03_self_attention", "foundations", "What if every word asks?"),
    Lesson("04_multi_head_attention", "foundations", "Why several heads?"),
    Lesson("05_additive_attention", "language", "Where did it come from?"),
    Lesson("06_transformer", "language", "How is the whole put together?"),
    Lesson("07_translation", "language", "Can it translate?"),
    Lesson("08_text_classification", "language", "Which words decide?"),
    Lesson("09_image_attention", "at work", "Can attention see?"),
    Lesson("10_detection_segmentation", "at work", "Where, and which pixels?"),
    Lesson("11_speech_attention", "at work", "Can attention listen?"),
    Lesson("12_rnn_cnn_attention", "understood", "When is it the right tool?"),
    Lesson(
        "13_efficient_attention", "understood", "Why expensive, what helps?"
    ),
    Lesson("14_interpreting_attention", "understood", "Do weights explain?"),
    Lesson("15_recommendation", "beyond", "What will you want next?"),
    Lesson("16_reinforcement_learning", "beyond", "Can attention act?"),
]


class Term(NamedTuple):
    """A term of the field: English, Chinese, what it means, where it comes."""

    english: str
    chinese: str
    meaning: str
    lesson: str


GLOSSARY = [
    Term("query", "查询", "what is looked for, one vector", "01"),
    Term("key", "键", "what a value is filed under, one vector", "01"),
    Term("value", "值", "what is handed out, one vector", "01"),
    Term("score", "得分", "how well a query fits a key; any number", "01"),
    Term("weight", "权重", "a score after the softmax; from 0 to 1", "01"),
    Term("softmax", "归一化指数函数", "scores to weights that sum to 1", "01"),
    Term("dot product", "点积", "multiply number by number, add up", "01"),
    Term("temperature", "温度", "divides scores; cold is sharp", "01"),
    Term("scaled dot product", "缩放点积", "score divided by sqrt(d)", "02"),
    Term("mask", "掩码", "True where attention is allowed", "02"),
    Term("padding", "填充", "filling that makes lengths equal", "02"),
    Term("causal", "因果", "looking back only, never ahead", "02"),
    Term("self-attention", "自注意力", "a sequence asks itself", "03"),
    Term("token", "词元", "one item of a sequence", "03"),
    Term("projection", "投影", "a learned matrix applied to a vector", "03"),
    Term("positional encoding", "位置编码", "says where a token stands", "03"),
    Term("head", "头", "one of several attentions side by side", "04"),
    Term("multi-head attention", "多头注意力", "several heads, merged", "04"),
    Term("cross-attention", "交叉注意力", "one sequence asks another", "04"),
    Term("pruning", "剪枝", "taking out what is not needed", "04"),
    Term("encoder", "编码器", "reads the source, a state per token", "05"),
    Term("decoder", "解码器", "writes the target, token by token", "05"),
    Term("bottleneck", "瓶颈", "a whole sentence in one vector", "05"),
    Term(
        "context", "上下文向量", "what a decoder step got from attention", "05"
    ),
    Term(
        "additive score",
        "加性打分",
        "v · tanh(W q + W k), Bahdanau 2015",
        "05",
    ),
    Term("alignment", "对齐", "which source token a target token sees", "05"),
    Term(
        "teacher forcing",
        "教师强制",
        "train on the right previous token",
        "05",
    ),
    Term(
        "greedy decoding", "贪心解码", "the likeliest token at each step", "05"
    ),
    Term(
        "residual", "残差连接", "add what a part found to what was there", "06"
    ),
    Term("layer norm", "层归一化", "each token to mean 0, variance 1", "06"),
    Term("pre-norm", "前置归一化", "norm before each part, not after", "06"),
    Term("MLP", "多层感知机", "small network, each token by itself", "06"),
    Term(
        "dropout", "随机失活", "numbers set to 0 at random, in training", "06"
    ),
    Term("label smoothing", "标签平滑", "aim a little below certainty", "06"),
    Term("warm-up", "学习率预热", "start with small learning rates", "06"),
    Term(
        "ablation", "消融实验", "take a part out, measure what is lost", "06"
    ),
    Term("subword", "子词", "a piece of a word, learned from counts", "07"),
    Term(
        "beam search", "束搜索", "keep the best few translations so far", "07"
    ),
    Term(
        "BLEU", "双语评估替补", "share of word groups in the reference", "07"
    ),
    Term(
        "attention pooling",
        "注意力池化",
        "many vectors to one, one query",
        "08",
    ),
    Term(
        "TF-IDF", "词频-逆文档频率", "word counts, rare words count more", "08"
    ),
    Term(
        "confidence interval", "置信区间", "where other tests would lead", "08"
    ),
    Term("patch", "图像块", "a small square of an image", "09"),
    Term("class token", "分类词元", "an added token that sums up", "09"),
    Term("rollout", "注意力展开", "weights multiplied through layers", "09"),
    Term("bounding box", "边界框", "the smallest box around an object", "10"),
    Term("IoU", "交并比", "shared area over area of both together", "10"),
    Term(
        "object query",
        "目标查询",
        "learned vector that finds one object",
        "10",
    ),
    Term(
        "bipartite matching", "二分图匹配", "cheapest one-to-one pairing", "10"
    ),
    Term(
        "average precision (AP)",
        "平均精度",
        "precision over all recalls",
        "10",
    ),
    Term("segmentation", "分割", "which pixels belong to what", "10"),
    Term("NMS", "非极大值抑制", "delete boxes that overlap a surer one", "10"),
    Term(
        "log-mel features",
        "对数梅尔特征",
        "loudness by pitch band over time",
        "11",
    ),
    Term(
        "CTC", "连接时序分类", "sums over all paths that say the words", "11"
    ),
    Term("blank", "空白符", "CTC's symbol for no word here", "11"),
    Term(
        "word error rate", "词错误率", "changes per word that was said", "11"
    ),
    Term("monotonic", "单调", "moving forward only, as time does", "11"),
    Term(
        "path length", "路径长度", "steps between two places of a text", "12"
    ),
    Term("dilated convolution", "空洞卷积", "a kernel with gaps", "12"),
    Term("online softmax", "在线归一化", "a softmax in one pass", "13"),
    Term(
        "flash attention",
        "分块精确注意力",
        "exact attention, tile by tile",
        "13",
    ),
    Term("KV cache", "键值缓存", "keys and values kept while writing", "13"),
    Term("grouped queries (GQA)", "分组查询注意力", "heads share keys", "13"),
    Term(
        "sliding window", "滑动窗口", "only the last w tokens are seen", "13"
    ),
    Term("linear attention", "线性注意力", "no softmax, so no square", "13"),
    Term("roofline", "屋顶线模型", "limit by arithmetic or by memory", "13"),
    Term("attention sink", "注意力汇", "a token that takes idle weight", "14"),
    Term("induction head", "归纳头", "finds what came next last time", "14"),
    Term("hit rate", "命中率", "share of people whose item is listed", "15"),
    Term(
        "matrix factorization",
        "矩阵分解",
        "people, items: short vectors",
        "15",
    ),
    Term("policy", "策略", "what to do in a state", "16"),
    Term("return-to-go", "未来回报", "the reward that is still to come", "16"),
    Term(
        "behaviour cloning", "行为克隆", "do as the recorded players did", "16"
    ),
]

# The field's terms that a lesson's text must name, in italics or bold at first
# use, and explain there: whoever knows the word finds the lesson, and whoever
# knows the lesson can open the paper.
LESSON_TERMS = {
    "02": ("logits", "gradient norm"),
    "03": ("positional encoding", "length extrapolation", "inductive bias"),
    "05": (
        "context vector",
        "encoder-decoder bottleneck",
        "autoregressive",
        "exposure bias",
        "overfitting",
        "distribution shift",
    ),
    "06": (
        "feed-forward network",
        "residual stream",
        "rank collapse",
        "key-value cache",
    ),
    "07": (
        "n-gram",
        "clipped precision",
        "brevity penalty",
        "length normalisation",
        "signature",
        "learned metric",
        "COMET",
    ),
    "08": (
        "McNemar's test",
        "erasure",
        "comprehensiveness",
        "faithfulness",
        "macro-F1",
    ),
    "09": (
        "nearest centroid",
        "recall",
        "standard deviation",
        "test-time augmentation",
        "horizontal flip",
        "occlusion",
        "deletion test",
        "ROAR",
        "validation set",
        "seed variance",
        "faithfulness",
    ),
    "10": (
        "bipartite matching",
        "ground truth",
        "true positive",
        "false positive",
        "auxiliary loss",
        "smallest enclosing box",
        "instance segmentation",
        "iterative box refinement",
    ),
    "11": (
        "insertion",
        "deletion",
        "substitution",
        "cepstral mean normalisation",
        "data augmentation",
        "SpecAugment",
        "forward algorithm",
        "greedy decoding",
        "vocal tract length perturbation",
        "unseen speaker",
        "monotonicity",
        "encoder frame",
    ),
    "12": (
        "receptive field",
        "curriculum",
        "sequential operations",
        "critical path",
        "truncated back-propagation",
        "initialisation",
        "distractor",
    ),
    "13": (
        "prefill",
        "arithmetic intensity",
        "memory-bound",
        "compute-bound",
        "global attention",
        "log-sum-exp",
        "FlashAttention-2",
    ),
    "14": (
        "similarity",
        "special tokens",
        "Spearman's rho",
        "counterfactual",
        "causal",
        "faithfulness",
        "K-composition",
        "phase change",
        "QK circuit",
        "OV circuit",
    ),
    "15": ("baseline", "interaction", "leave-one-out", "popularity bias"),
    "16": (
        "return conditioning",
        "target return",
        "behaviour policy",
        "timestep embedding",
        "out of distribution",
        "RvS",
    ),
}
