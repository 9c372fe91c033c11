"""Lesson 09's module and data: patches, class token, rollout, occlusion."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from attn_course import image_attention as lesson
from attn_course.common.measuring import count_parameters
from attn_course.data import fashion_mnist
from attn_course.transformer import EncoderLayer
from attn_course.widgets import image_attention as views
from tests.host_reads import HostReads

DOUBLE = torch.float64


def images(batch=2, channels=1, height=8, width=12, dtype=DOUBLE):
    return torch.randn(batch, channels, height, width, dtype=dtype)


def small_vit(embed=None, tokens=4, **options):
    options = {"dim": 8, "depth": 2, "heads": 2, "classes": 3, **options}
    embed = embed or lesson.PatchEmbedding(4, options["dim"])
    return lesson.VisionTransformer(embed, tokens=tokens, **options)


# --- the data ---------------------------------------------------------------


@pytest.mark.parametrize("split, count", [("train", 12_000), ("test", 10_000)])
def test_fashion_mnist_is_whole_and_balanced(split, count):
    pictures, labels = fashion_mnist.load(split)
    assert pictures.shape == (count, 28, 28) and pictures.dtype == torch.uint8
    assert labels.shape == (count,) and labels.dtype == torch.int64
    assert labels.bincount().tolist() == [count // 10] * 10
    assert len(fashion_mnist.CLASSES) == 10


def test_fashion_mnist_train_and_test_share_no_image():
    train, test = (
        {picture.numpy().tobytes() for picture in fashion_mnist.load(split)[0]}
        for split in ("train", "test")
    )
    assert len(train) == 12_000 and len(test) == 10_000
    assert not train & test


def test_fashion_mnist_begins_as_published():
    labels = fashion_mnist.load("test")[1]
    names = [fashion_mnist.CLASSES[label] for label in labels[:4]]
    assert names == ["Ankle boot", "Pullover", "Trouser", "Trouser"]


def test_fashion_mnist_refuses_other_splits():
    with pytest.raises(ValueError, match="split: .*'train' or 'test'.*'val'"):
        fashion_mnist.load("val")


def test_normalised_training_pixels_have_mean_0_and_deviation_1():
    x = lesson.normalise(fashion_mnist.load("train")[0])
    assert x.shape == (12_000, 1, 28, 28)
    assert abs(x.mean()) < 0.01 and abs(x.std() - 1) < 0.01
    assert x.min().item() == pytest.approx(lesson.BLACK)


def test_normalise_refuses_what_is_no_grey_image(own_errors):
    with pytest.raises(ValueError, match="images: .*uint8.*float32"):
        lesson.normalise(torch.ones(2, 28, 28))
    with pytest.raises(ValueError, match=r"images: .*\(28, 28\)"):
        lesson.normalise(torch.ones(28, 28, dtype=torch.uint8))


# --- patches ----------------------------------------------------------------


@given(
    st.integers(0, 3),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_patchify_equals_unfold_and_comes_back(batch, channels, size, m, n):
    x = images(batch, channels, m * size, n * size)
    patches = lesson.patchify(x, size)
    if batch:  # torch's unfold wants at least one image
        expected = F.unfold(x, size, stride=size).transpose(1, 2)
        assert torch.equal(patches, expected)
    assert patches.shape == (batch, m * n, channels * size**2)
    back = lesson.unpatchify(patches, size, m * size, n * size)
    assert torch.equal(back, x)


def test_patchify_by_hand():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert lesson.patchify(x, 2)[0].tolist() == [
        [0, 1, 4, 5],
        [2, 3, 6, 7],
        [8, 9, 12, 13],
        [10, 11, 14, 15],
    ]


def test_patchify_of_non_contiguous_images():
    x = images().transpose(2, 3)
    assert torch.equal(
        lesson.patchify(x, 4), lesson.patchify(x.contiguous(), 4)
    )


@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32, torch.bfloat16])
def test_patch_embedding_is_a_convolution(dtype, device):
    if "mps" in device and dtype == DOUBLE:
        pytest.skip("MPS has no float64")
    embed = lesson.PatchEmbedding(4, 6, channels=2).to(device, dtype)
    x = images(3, 2, dtype=dtype).to(device).requires_grad_()
    tokens = embed(x)
    kernel = embed.project.weight.view(6, 2, 4, 4)
    convolved = F.conv2d(x, kernel, embed.project.bias, stride=4)
    expected = convolved.flatten(2).transpose(1, 2)
    close = {} if dtype != torch.bfloat16 else {"rtol": 0.05, "atol": 0.05}
    torch.testing.assert_close(tokens, expected, **close)
    weight = torch.randn_like(tokens)
    grads = [
        torch.autograd.grad((y * weight).sum(), [x, embed.project.weight])
        for y in (tokens, expected)
    ]
    for ours, torchs in zip(*grads):
        torch.testing.assert_close(ours, torchs, **close)


@pytest.mark.parametrize(
    "call, words",
    [
        (
            lambda: lesson.patchify(torch.ones(1, 1, 8, 9), 4),
            "size: .*8 and 9",
        ),
        (lambda: lesson.patchify(torch.ones(1, 1, 8, 8), 0), "size: .*got 0"),
        (lambda: lesson.patchify(torch.ones(8, 8), 4), "images: .*8, 8"),
        (
            lambda: lesson.unpatchify(torch.ones(1, 3, 16), 4, 8, 8),
            "patches: .*1, 3, 16",
        ),
        (
            lambda: lesson.unpatchify(torch.ones(1, 4, 15), 4, 8, 8),
            "patches: .*multiple of 16.*15",
        ),
        (
            lambda: lesson.unpatchify(torch.ones(1, 4, 16), 4, 9, 8),
            "patches: .*9 x 8",
        ),
        (
            lambda: small_vit()(torch.ones(1, 1, 8, 12)),
            "images: .*4 tokens.*6",
        ),
        (lambda: small_vit(heads=3), "heads: .*8.*3"),
        (
            lambda: lesson.augmented_batches(
                torch.ones(3, 1, 8, 8), torch.ones(3).long(), size=4
            ),
            "size: .*1 to 3.*got 4",
        ),
        (
            lambda: lesson.attention_rollout(torch.ones(2, 3, 3)),
            "weights: .*2, 3, 3",
        ),
        (
            lambda: lesson.attention_rollout(torch.ones(2, 1, 3, 4)),
            "weights: .*3, 4",
        ),
        (
            lambda: lesson.occlusion_map(
                print, torch.ones(1, 8, 8), 0, size=9
            ),
            "size: .*8.*got 9",
        ),
    ],
)
def test_wrong_input_is_named(own_errors, call, words):
    with pytest.raises(ValueError, match=words):
        call()


# --- the models -------------------------------------------------------------


def test_conv_stem_gives_one_token_per_4_by_4_and_sees_10_by_10():
    stem = lesson.ConvStem(8).double().eval()
    x = images(1, 1, 28, 28).requires_grad_()
    tokens = stem(x)
    assert tokens.shape == (1, 49, 8)
    reach = torch.zeros(28, 28, dtype=torch.bool)
    for _ in range(30):  # pooling passes on one of four: try many images
        x = images(1, 1, 28, 28).requires_grad_()
        token = stem(x)[0, 24].sum()  # row 3, column 3: pixels 12 to 15
        reach |= torch.autograd.grad(token, x)[0][0, 0] != 0
    rows, columns = reach.nonzero().T
    assert (rows.min(), rows.max()) == (9, 18)
    assert (columns.min(), columns.max()) == (9, 18)


def test_stem_in_either_memory_layout_is_the_same():
    stem = lesson.ConvStem(8).double().eval()
    x = images(2, 1, 8, 8)
    plain = stem.layers(x).flatten(2).transpose(1, 2)
    torch.testing.assert_close(stem(x), plain)


def test_the_blocks_are_the_encoder_layers_of_lesson_06():
    assert all(type(block) is EncoderLayer for block in small_vit().blocks)


def test_vit_shapes_and_weights_that_sum_to_one(device):
    model = small_vit().to(device)
    x = images(3, 1, 8, 8, torch.float32).to(device)
    assert model(x).shape == (3, 3)
    weights = model.attention_weights(x)
    assert weights.shape == (2, 3, 2, 5, 5)
    torch.testing.assert_close(
        weights.sum(-1), torch.ones_like(weights[..., 0])
    )


def test_vit_of_no_image():
    assert small_vit()(torch.ones(0, 1, 8, 8)).shape == (0, 3)


def test_vit_without_positions_does_not_see_the_order_of_patches():
    model = small_vit().double()
    torch.nn.init.zeros_(model.positions)
    x = images(5, 1, 8, 8)
    shuffled = lesson.shuffle_patches(x, 4)
    assert not torch.equal(x, shuffled)
    torch.testing.assert_close(model(x), model(shuffled))


def test_vit_with_positions_sees_the_order_of_patches():
    model = small_vit().double()
    x = images(5, 1, 8, 8)
    shuffled = lesson.shuffle_patches(x, 4)
    assert (model(x) - model(shuffled)).abs().max() > 1e-4


def test_only_the_class_token_is_read():
    """The head's scores change with the class token, at any input."""
    model = small_vit(depth=0).double()
    x = images(2, 1, 8, 8)
    first, second = model(x)
    torch.testing.assert_close(first, second)  # no block: no look at the image
    with torch.no_grad():
        model.class_token += torch.randn(8)
    assert not torch.allclose(model(x)[0], first)


@pytest.mark.parametrize(
    "make",
    [
        lambda: small_vit(mlp_dim=32),
        lambda: small_vit(lesson.ConvStem(8), tokens=4, mlp_dim=32),
        lambda: lesson.SmallCNN(4, 8, classes=3),
    ],
)
def test_every_parameter_learns(make):
    """A gradient of 0 is no gradient: each parameter must get another."""
    model = make()
    scores = model(images(8, 1, 8, 8, torch.float32))
    weight = torch.randn_like(scores)  # so that no sum cancels
    (scores * weight).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).any(), name


def test_training_finds_a_bright_corner():
    x = 0.1 * images(64, 1, 8, 8, torch.float32)
    labels = torch.arange(64) % 3
    for label, (row, column) in enumerate([(0, 0), (0, 4), (4, 0)]):
        x[labels == label, :, row : row + 4, column : column + 4] += 1
    model = small_vit()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()
    assert torch.equal(lesson.predict(model, x, hflip=False), labels)


def test_neither_model_reads_a_number_back():
    """On a GPU each read waits for it: a forward pass makes none."""
    x = images(2, 1, 8, 8, torch.float32)
    vit = small_vit(lesson.ConvStem(8), tokens=4)
    with HostReads() as reads:
        for model in (vit, lesson.SmallCNN(4, 8)):
            model(x).sum().backward()
            model.eval()(x)
        vit.attention_weights(x)
    assert reads.count == 0


def test_models_save_and_load(tmp_path):
    model, other = small_vit(), small_vit()
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    x = images(2, 1, 8, 8, torch.float32)
    torch.testing.assert_close(model(x), other(x))


def test_small_cnn_shapes_and_size():
    model = lesson.SmallCNN(4, 10)
    assert model(images(2, 1, 28, 28, torch.float32)).shape == (2, 10)
    weights = 9 * (4 + 4 * 8 + 8 * 10) + 2 * (4 + 8 + 10)
    assert count_parameters(model) == weights + 10 * 10 + 10


def test_predict_goes_chunk_by_chunk_in_evaluation_mode():
    model = lesson.SmallCNN(4, 8).train()
    x = images(7, 1, 8, 8, torch.float32)
    predictions = lesson.predict(model, x, chunk=3, hflip=False)
    assert model.training
    assert torch.equal(predictions, model.eval()(x).argmax(-1))


def test_predict_leaves_the_mode_as_it_was_after_an_error():
    model = lesson.SmallCNN(4, 8).train()
    model.layers[2].eval()  # one frozen norm stays frozen
    with pytest.raises(RuntimeError):
        lesson.predict(model, images(2, 3, 8, 8, torch.float32))
    assert model.training and not model.layers[2].training


def test_predict_asks_the_mirror_image_too():
    def model(x):  # sees only the left column
        left = x[:, 0, :, 0].mean(-1)
        return torch.stack([left, torch.zeros_like(left)], dim=-1)

    class Left(torch.nn.Module):
        forward = staticmethod(model)

    x = torch.full((1, 1, 4, 4), -1.0)
    x[..., -1] = 3.0  # the right column, once mirrored, outweighs the left
    assert lesson.predict(Left(), x, hflip=False).item() == 1
    assert lesson.predict(Left(), x).item() == 0


# --- training ---------------------------------------------------------------


def numbered_images(n):
    """Images of two pixels: the number of the image, and a half more."""
    x = torch.arange(float(n)).view(n, 1, 1, 1) + torch.tensor([0.0, 0.5])
    return x, torch.arange(n)


def test_an_epoch_shows_every_image_once_some_of_them_flipped():
    x, labels = numbered_images(12)
    batches = lesson.augmented_batches(x, labels, size=4, seed=1)
    seen = [batches(step) for step in range(3)]
    assert sorted(torch.cat([y for _, y in seen]).tolist()) == [*range(12)]
    flips = 0
    for pictures, names in seen:
        for picture, name in zip(pictures, names):
            flipped = not torch.equal(picture, x[name])
            assert torch.equal(
                picture.flip(-1) if flipped else picture, x[name]
            )
            flips += flipped
    assert 0 < flips < 12


def test_batches_are_shuffled_and_the_same_for_the_same_seed_and_step():
    x, labels = numbered_images(12)
    batches = lesson.augmented_batches(x, labels, size=4, seed=1)
    epochs = [
        torch.cat([batches(3 * epoch + i)[1] for i in range(3)])
        for epoch in range(3)
    ]
    orders = {tuple(order.tolist()) for order in epochs}
    assert len(orders | {tuple(range(12))}) == 4  # each its own, none sorted
    again = lesson.augmented_batches(x, labels, size=4, seed=1)
    for step in (7, 0, 4):  # in any order of asking
        for one, other in zip(again(step), batches(step)):
            assert torch.equal(one, other)
    other_seed = lesson.augmented_batches(x, labels, size=4, seed=2)
    assert not torch.equal(other_seed(0)[1], batches(0)[1])


def test_each_epoch_flips_its_own_half_of_the_images():
    x, labels = numbered_images(1000)
    batches = lesson.augmented_batches(x, labels, size=100)
    flipped = torch.zeros(4, 1000, dtype=torch.bool)
    for step in range(40):
        pictures, names = batches(step)
        flipped[step // 10, names] = pictures[:, 0, 0, 0] > names
    share = flipped.double().mean(dim=1)
    assert ((share - 0.5).abs() < 0.06).all()  # 4 standard errors of a share
    both = (flipped[0] == flipped[1]).double().mean().item()
    assert abs(both - 0.5) < 0.06  # one epoch's flips say nothing of the next


def test_a_vit_on_patches_computes_the_same_in_training():
    """It has no dropout: only the stem's batch norm knows the mode."""
    model = small_vit()
    x = images(4, 1, 8, 8, torch.float32)
    torch.testing.assert_close(model.train()(x), model.eval()(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda: small_vit(lesson.ConvStem(8), tokens=4),
        lambda: lesson.SmallCNN(4, 8, classes=3),
    ],
)
def test_batch_norm_sees_the_batch_in_training_and_its_past_after(make):
    model = make()
    x = images(6, 1, 8, 8, torch.float32)
    two = x[:2].clone()
    alone, together = model.train()(two), model(x)[:2]
    assert not torch.allclose(alone, together)  # neighbours matter
    model.eval()
    torch.testing.assert_close(model(two), model(x)[:2])
    assert not torch.allclose(model(two), alone)


# --- what it looks at -------------------------------------------------------


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 6))
def test_rollout_rows_sum_to_one(depth, heads, tokens):
    scores = torch.randn(depth, 2, heads, tokens, tokens, dtype=DOUBLE)
    joint = lesson.attention_rollout(scores.softmax(-1))
    assert joint.shape == (2, tokens, tokens)
    assert (joint >= 0).all()
    torch.testing.assert_close(joint.sum(-1), torch.ones(2, tokens).double())


def test_rollout_equals_a_sum_over_all_paths():
    weights = torch.randn(3, 2, 4, 4, dtype=DOUBLE).softmax(-1)
    joint = [[0.0] * 4 for _ in range(4)]
    steps = [
        [
            [
                (sum(w[i][j] for w in layer) / len(layer) + (i == j)) / 2
                for j in range(4)
            ]
            for i in range(4)
        ]
        for layer in weights.tolist()
    ]
    for i in range(4):
        for a in range(4):
            for b in range(4):
                for j in range(4):
                    path = steps[2][i][a] * steps[1][a][b] * steps[0][b][j]
                    joint[i][j] += path
    expected = torch.tensor(joint, dtype=DOUBLE)
    torch.testing.assert_close(lesson.attention_rollout(weights), expected)


def test_rollout_of_tokens_that_look_at_themselves_is_the_identity():
    weights = torch.eye(3).expand(4, 2, 3, 3)
    assert torch.equal(lesson.attention_rollout(weights), torch.eye(3))


@given(st.integers(0, 1000))
def test_shuffle_keeps_every_patch(seed):
    x = images(3, 1, 8, 8)
    shuffled = lesson.shuffle_patches(x, 4, seed)
    sorted_sums = [
        lesson.patchify(y, 4).sum(-1).sort().values for y in (x, shuffled)
    ]
    torch.testing.assert_close(*sorted_sums)


def test_shuffle_is_repeatable_and_differs_between_images():
    one = images(1, 1, 28, 28)
    x = one.expand(3, -1, -1, -1)
    shuffled = lesson.shuffle_patches(x, 4, seed=1)
    assert torch.equal(shuffled, lesson.shuffle_patches(x, 4, seed=1))
    assert not torch.equal(shuffled[0], shuffled[1])


def test_shuffle_of_whole_images_changes_nothing():
    x = images(3, 1, 28, 28)
    assert torch.equal(lesson.shuffle_patches(x, 28), x)


@given(st.integers(-3, 9), st.integers(-3, 9), st.integers(0, 9))
def test_occlude_covers_the_square_and_nothing_else(row, column, size):
    x = images(1, 1, 8, 8)
    before = x.clone()
    covered = lesson.occlude(x, row, column, size, fill=7.0)
    assert torch.equal(x, before)
    for i in range(8):
        for j in range(8):
            inside = row <= i < row + size and column <= j < column + size
            expected = 7.0 if inside else x[0, 0, i, j].item()
            assert covered[0, 0, i, j].item() == expected


def test_occlusion_map_finds_the_one_pixel_that_counts():
    def model(x):  # class 1 if pixel (5, 2) is bright
        light = x[:, 0, 5, 2]
        return torch.stack([torch.zeros_like(light), light], dim=-1)

    image = torch.full((1, 8, 8), lesson.BLACK)
    image[0, 5, 2] = 4.0
    costs = lesson.occlusion_map(model, image, 1, size=2, stride=1)
    assert costs.shape == (7, 7)
    needed = costs > 0.1
    assert needed.nonzero().tolist() == [[4, 1], [4, 2], [5, 1], [5, 2]]
    assert (costs[~needed] == 0).all()


@pytest.mark.parametrize("fill", lesson.FILLS.values())
def test_a_cover_can_have_any_fill(fill):
    def model(x):  # class 1 if the image is bright
        light = x.mean((1, 2, 3))
        return torch.stack([torch.zeros_like(light), light], dim=-1)

    image = torch.zeros(1, 4, 4)  # grey
    costs = lesson.occlusion_map(model, image, 1, 2, 2, fill)
    assert torch.equal(costs.sign(), -torch.full((2, 2), fill).sign())


def test_fills_are_the_darkest_the_mean_and_the_brightest():
    grey = torch.tensor([[[0, 255]]], dtype=torch.uint8)
    dark, bright = lesson.normalise(grey).flatten().tolist()
    assert lesson.FILLS["black"] == pytest.approx(dark)
    assert lesson.FILLS["grey"] == 0
    assert lesson.FILLS["white"] == pytest.approx(bright)


# --- the lesson's pictures ---------------------------------------------------


def test_attention_explorer_shows_the_chosen_block_and_head():
    x = images(3, 1, 8, 8, torch.float32)
    view = views.attention_explorer(small_vit().eval(), x, ["a", "b", "c"])
    assert "Test image 0, class a" in view.still.alt
    assert "block 2, head 1" in view.still.alt
    view.controls["number"].value = 2
    view.controls["head"].value = 2
    assert "class c" in view.caption.value
    assert "head 2" in view.caption.value and "img" in view.picture.value


def test_cover_explorer_moves_the_square():
    x = images(3, 1, 8, 8, torch.float32)
    model = small_vit().eval()
    view = views.cover_explorer(model, x, ["a", "b", "c"], ["x", "y", "z"])
    before = view.picture.value
    view.controls["row"].value = 0
    assert "row 0" in view.caption.value
    assert view.picture.value != before


@pytest.mark.parametrize("size, stride", [(8, 2), (4, 4), (7, 3)])
def test_a_cost_lies_below_the_middle_of_the_square_it_is_of(size, stride):
    picture, model = torch.rand(28, 28), small_vit(tokens=49).eval()
    cost = lesson.occlusion_map(
        model, picture[None], 0, size=size, stride=stride
    )
    figure = views.cost_maps([picture] * 2, [cost] * 2, stride)
    above, below = figure.axes[0], figure.axes[2]
    left, right, bottom, top = below.images[0].get_extent()
    width = (right - left) / len(cost)
    assert width == pytest.approx(stride) and (left, right) == (top, bottom)
    assert left + width / 2 == pytest.approx(size / 2)  # of the first square
    assert above.get_xlim() == below.get_xlim() == (0, 28)
    assert above.get_ylim() == below.get_ylim() == (28, 0)


def test_figures_have_the_parts_they_are_asked_for():
    picture, heat = torch.rand(8, 8), torch.rand(2, 2)
    figure = views.image_grid([[picture, (picture, heat)]], ["one", "two"])
    assert [ax.get_title() for ax in figure.axes] == ["one", "two"]
    assert [len(ax.images) for ax in figure.axes] == [1, 2]
    assert len(views.image_grid([[picture]]).axes) == 1
    assert len(views.image_grid([[picture], [picture]]).axes) == 2
    assert len(views.cost_maps([picture] * 3, [heat] * 3).axes) == 6
    figure = views.labelled_bars(
        ["a", "b"], torch.tensor([0.25, 1.0]), title="t"
    )
    assert figure.axes[0].texts[0].get_text() == "0.25"
    spread = views.spread({"a": torch.rand(9)}, xlabel="x", title="t")
    assert spread.axes[0].get_title(loc="left") == "t"
