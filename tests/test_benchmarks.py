"""The benchmark's runner: every row is there, and its numbers are sound."""

import pytest
import torch

from benchmarks import run


def test_quick_run_writes_a_table_with_every_row(tmp_path, capsys):
    quick = ["--quick", "--threads", "1", "2", "--folder", str(tmp_path)]
    before = torch.get_num_threads()
    assert run.main(quick) == 0
    assert torch.get_num_threads() == before
    page = (tmp_path / "benchmarks" / "results.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for group in run.TITLES.values():
        assert f"## {group}" in page
    for setting in ("1 thread, processor time", "2 threads, time on the"):
        assert page.count(f"### {setting}") == len(run.TITLES)
    for _, _, length, _ in run.ATTENTION:
        mine = [row for row in rows if row.startswith(f"| length {length}, ")]
        for part in run.PASSES:  # three groups, two settings
            assert sum(f"| {part} |" in row for row in mine) == 6
    layers = sum("dim" in row and "dropout" not in row for row in rows)
    assert layers == 2 * len(run.LAYERS) + 8 * len(run.CAUSAL_LAYERS)
    models = sum("dropout" in row for row in rows)
    assert models == 2 * len(run.TRANSFORMERS) * len(run.DROPOUTS)
    for length in run.TILED_LENGTHS:
        mine = [row for row in rows if row.startswith(f"| tokens {length}, ")]
        assert len(mine) == 2 * len(run.PASSES)
    for length in run.DECODING_LENGTHS:
        assert sum(row.startswith(f"| {length} tokens, ") for row in rows) == 2
    assert (tmp_path / "figures" / "benchmarks.svg").stat().st_size > 1000
    assert "ratio" in capsys.readouterr().out


def test_one_group_writes_nothing(tmp_path, capsys):
    run.main(["--quick", "--only", "layer", "--folder", str(tmp_path)])
    assert not list(tmp_path.iterdir())
    assert "fused" not in capsys.readouterr().out


def test_peak_memory_counts_what_a_call_holds():
    def hold_two(n=1000):
        one = torch.ones(n)
        two = one + 1
        del one
        return two

    assert run.peak_memory(hold_two) == pytest.approx(8000, rel=0.01)


@pytest.mark.parametrize("part", run.PASSES)
def test_bytes_counted_in_lessons_agree_with_the_profilers(part):
    for job in (
        run._attention_job(run.WEIGHTS, run.ATTENTION[6], part, quick=True),
        run._tiled_job(16_384, part, quick=True),
    ):
        counted = run.measuring.peak_bytes(job.ours)
        assert counted == pytest.approx(run.peak_memory(job.ours), rel=0.05)


def test_weights_cost_memory_that_the_fused_kernel_does_not():
    x = torch.randn(1, 2, 512, 16)
    attend = run.scaled_dot_product_attention
    with_weights = run.peak_memory(lambda: attend(x, x, x))
    without = run.peak_memory(lambda: attend(x, x, x, need_weights=False))
    assert with_weights >= 2 * 512 * 512 * 4 > 2 * without


def test_ratio_is_speed_of_ours_over_speed_of_the_other():
    def slow():
        sum(range(60_000))

    def fast():
        sum(range(6_000))

    job = run.Job(run.LAYER, "none", "forward", fast, slow, bar=1.1)
    row = run.measure(job, seconds=0.1, least=7)
    assert row.ratio > 3 and row.low <= row.ratio <= row.high
    assert row.reached and row.pairs >= 7
    other = run.Job(run.LAYER, "none", "forward", slow, fast, bar=1.1)
    assert not run.measure(other, seconds=0.1, least=7).reached


def test_both_transformers_compute_the_same_loss_and_gradients():
    ours = run.Transformer(12, 12, 16, 2, 2).double()
    theirs = run.TorchTransformer(ours, dropout=0.0).double()
    tokens = torch.tensor([[3, 4, 5, 6], [7, 8, run.PAD, run.PAD]])
    found, wanted = ours(tokens, tokens), theirs(tokens, tokens)
    torch.testing.assert_close(found[tokens > 0], wanted[tokens > 0])
    for logits in (found, wanted):
        run.sequence_loss(logits, tokens).backward()
    for mine, torchs in (
        (ours.source_embedding, theirs.source_embedding),
        (ours.decoder.norm, theirs.body.decoder.norm),
        (ours.encoder.layers[0].mlp[0], theirs.body.encoder.layers[0].linear1),
    ):
        torch.testing.assert_close(mine.weight.grad, torchs.weight.grad)
    sizes = [sum(p.numel() for p in m.parameters()) for m in (ours, theirs)]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("group", run.TITLES)
def test_every_group_has_a_bar(group):
    assert run.BARS[group] >= (0.5 if group == run.TILED else 0.95)


def test_the_plain_layer_is_the_courses_causal_layer():
    ours = run.MultiHeadAttention(16, 2)
    x = torch.randn(2, 5, 16)
    plain, _ = run.PlainLayer(ours)(x)
    torch.testing.assert_close(plain, ours(x, is_causal=True)[0])


def test_attention_alone_has_lower_bars_where_the_work_is_little():
    bars = {
        job.size: job.bar for job in run.jobs(True) if job.group == run.FUSED
    }
    assert list(bars.values()) == [0.8, 0.9, 0.95, *[0.99] * 6]
