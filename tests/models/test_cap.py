"""MoE-CAP's metrics: the sums written out by hand for one dense run and one with experts, and the command."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from checkpoints import write_model

from meshlang import llama, llama_reference
from meshlang.cli import main
from meshlang.models import cap
from meshlang.models.cap_run import Accuracy, measure
from meshlang.models.experts import Experts
from meshlang.models.runner import Runner

DENSE = llama.LlamaConfig(
    hidden_size=30, heads=6, kv_heads=2, head_size=4, feed_forward_size=50, layers=3, vocabulary=40
)
SPARSE = llama.LlamaConfig(
    hidden_size=30, heads=6, kv_heads=2, head_size=4, feed_forward_size=20, layers=2, vocabulary=40,
    experts=Experts(5, 2, renormalise=False, shared_size=10),
)  # fmt: skip


def run(config, dtype, batch, new, H=2, W=3, length=3):
    place = llama.Placement(config, H, W, capacity=4, dtype=dtype, head=True, batch=batch)
    weights = config.random_weights(1, np.float32)
    prompts = np.random.default_rng(2).integers(0, 40, (batch, length)).tolist()
    return measure(Runner(place, weights, "wse2"), weights, prompts, new, True), weights, prompts


def test_a_dense_run_by_hand():
    """f16, one sequence of 3 tokens, two more: 4 and 5 tokens in the cache. 2 x 3 PEs of a WSE-2 at 1.1 GHz."""
    measured, _, _ = run(DENSE, np.float16, 1, 2)
    steps = measured.steps
    assert [s.context for s in steps] == [4, 5] and [s.activated for s in steps] == [(1, 1, 1)] * 2
    found = cap.metrics(cap.Sizes.of(DENSE, 2), steps, cap.machine("wse2", 3, 2, True))
    seconds = (steps[0].cycles + steps[1].cycles) / 1.1e9
    s_attention = 30 * (6 * 4 + 2 * 2 * 4) + 6 * 4 * 30  # 1920 parameters
    s_feed = 3 * 50 * 30  # 4500
    moved = 2 * (2 * 3 * s_attention + 2 * 3 * s_feed + (4 + 5) * (2 * 3 * 4 * 2))
    assert s_attention == 1920 and moved == 77904
    assert found["s_mbu"]["bytes"] == moved
    assert found["s_mbu"]["value"] == pytest.approx(moved / seconds / (6 * 16 * 1.1e9))
    assert found["s_mbu"]["whole_wafer"] == pytest.approx(moved / seconds / (850000 * 16 * 1.1e9))
    # 4.5 tokens in the mean: 6 heads of 4, multiplied with keys and with values
    f_token = 3 * (2 * 1920 + 2 * 2 * 6 * 4 * 4.5) + 3 * 2 * 4500
    assert found["s_mfu"]["F_token"] == f_token == 39816
    assert found["s_mfu"]["value"] == pytest.approx(2 / seconds * f_token / (6 * 2 * 4 * 1.1e9))
    # 2.5 million dollars in 5 years, 15 kW at 0.15 dollars
    rate = 2 / seconds
    per_second = 2.5e6 / (5 * 365.25 * 86400) + 15 * 0.15 / 3600
    assert found["cost"]["whole_wafer"] == pytest.approx(per_second / rate * 1e6)
    assert found["cost"]["rectangle"] == pytest.approx(per_second / rate * 1e6 * 6 / 850000)


def test_a_run_with_experts_by_hand():
    """f32, three sequences of 3 tokens, two more of each. The experts of each step are those of the reference."""
    measured, weights, prompts = run(SPARSE, np.float32, 3, 2)
    touched = np.zeros((2, 2, 5), bool)  # [step, layer, expert]: taken by any of the three
    for sequence, prompt in enumerate(prompts):
        reference = llama_reference.Reference(SPARSE, weights)
        reference.decode(reference.embed(prompt + measured.generated[sequence]))
        for layer in range(2):
            for step in range(2):
                touched[step, layer, reference.routes[layer][3 + step]] = True
    assert [list(s.activated) for s in measured.steps] == touched.sum(2).tolist()
    assert measured.accuracy.agreed == measured.accuracy.tokens == 3 * 3
    assert measured.accuracy.same == measured.accuracy.routes == 3 * 5 * 2
    found = cap.metrics(cap.Sizes.of(SPARSE, 4), measured.steps, cap.machine("wse2", 3, 2, False))
    seconds = sum(s.cycles for s in measured.steps) / 1.1e9
    s_attention, s_expert, s_shared = 1920, 3 * 20 * 30, 3 * 10 * 30
    moved = 4 * (2 * 2 * s_attention + int(touched.sum()) * s_expert + 2 * 2 * s_shared + 3 * (4 + 5) * (2 * 2 * 4 * 2))
    assert found["s_mbu"]["bytes"] == moved
    assert found["s_mbu"]["value"] == pytest.approx(moved / seconds / (6 * 16 * 1.1e9))
    # the router has a column for the shared expert's gate; the shared expert is half as large as the others
    f_token = 2 * (2 * 1920 + 2 * 2 * 6 * 4 * 4.5) + 2 * 2 * 6 * 30 + 2 * 2 * (2 + 0.5) * s_expert
    assert found["s_mfu"]["F_token"] == f_token
    assert found["s_mfu"]["value"] == pytest.approx(6 / seconds * f_token / (6 * 2 * 1 * 1.1e9))
    assert found["activated"]["mean"] == touched.sum() / 4
    assert found["activated"]["uniform"] == pytest.approx(5 * (1 - (3 / 5) ** 3))


def test_sequences_of_different_lengths():
    """The steps are those behind the longest prompt; every sequence's tokens and experts are those of the reference."""
    place = llama.Placement(SPARSE, 2, 3, capacity=4, dtype=np.float32, head=True, batch=2)
    weights = SPARSE.random_weights(1, np.float32)
    prompts = [[7, 8, 9, 10], [3]]
    measured = measure(Runner(place, weights, "wse3"), weights, prompts, 2, True)
    assert [s.context for s in measured.steps] == [5, 6]
    taken = []
    for prompt, generated in zip(prompts, measured.generated):
        reference, tokens = llama_reference.Reference(SPARSE, weights), list(prompt)
        for _ in generated:
            x = reference.decode(reference.embed(tokens[reference.tokens :]))
            tokens.append(int(reference.logits(x)[-1].argmax()))
        reference.decode(reference.embed(tokens[reference.tokens :]))
        assert tokens == prompt + generated and len(tokens) == 6
        taken.append(np.array(reference.routes)[:, 4:])  # [layers, steps, chosen]
    for step, found in enumerate(measured.steps):
        assert found.activated == tuple(len(np.unique([t[i, step] for t in taken])) for i in range(2))
    # of each: the tokens behind its prompt, and those of the last step
    assert measured.accuracy.tokens == measured.accuracy.agreed == 3 + 6
    assert measured.accuracy.same == measured.accuracy.routes == 2 * 6 * 2


def test_choices_at_random_take_as_many_experts_as_the_formula_says():
    rng = np.random.default_rng(0)
    sizes = cap.Sizes.of(SPARSE, 2)
    for batch in (1, 2, 3, 8):
        taken = [len(np.unique([rng.choice(5, 2, replace=False) for _ in range(batch)])) for _ in range(2000)]
        steps = [cap.Step(1, batch, 1, (n, n), 1, 1, 1) for n in taken]
        found = cap.metrics(sizes, steps, cap.machine("wse2", 3, 2, True))["activated"]
        assert found["mean"] == pytest.approx(found["uniform"], rel=0.02)


def test_as_the_repository_computes():
    """Its formulas, written out again: per step, then averaged."""
    sizes = cap.Sizes.of(SPARSE, 2)
    steps = [cap.Step(1000, 2, 7, (3, 4), 0, 0, 0), cap.Step(3000, 2, 8, (2, 2), 0, 0, 0)]
    machine = cap.machine("wse2", 10, 10, True)
    bandwidth, flops = 100 * 16 * 1.1e9, 100 * 2 * 4 * 1.1e9
    smbu, smfu = [], []
    for cycles, context, mean in ((1000, 14, 3.5), (3000, 16, 2.0)):
        tpot = cycles / 1.1e9
        smbu.append((2 * (mean * 1800 + 1920) + context * 32) * 2 / tpot / bandwidth)
        smfu.append((2 * (1920 + 1800) + 2 * context * 2 * 6 * 4) * 2 * (2 / tpot) / (flops / 2))
    found = cap.as_repo(sizes, steps, machine)
    assert found["s_mbu"] == pytest.approx(sum(smbu) / 2)
    assert found["s_mfu"] == pytest.approx(sum(smfu) / 2)
    energy = (15000 + 350) / 1000 * 0.15 * (4000 / 1.1e9) / 3600
    assert found["cost"] == pytest.approx(1.2 * energy + 1.25 * (2.5e6 + 7214))


def test_what_is_achieved_is_less_than_what_is_issued():
    """What the machine read and computed is at least what the formulas count, of weights that every token reads again."""
    measured, _, _ = run(DENSE, np.float16, 1, 1)
    really = cap.metrics(cap.Sizes.of(DENSE, 2), measured.steps, cap.machine("wse2", 3, 2, True))["really"]
    assert 0 < really["achieved_over_read"] < 1 and 0 < really["achieved_over_issued"] < 1
    assert 0 < really["read_of_peak"] < 1 and 0 < really["flops_of_peak"] < 1


def test_disagreement_is_counted():
    accuracy = Accuracy()
    accuracy.add(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    accuracy.add(np.log(np.array([0.75, 0.25])), np.log(np.array([0.25, 0.75])))
    assert (accuracy.tokens, accuracy.agreed) == (2, 1)
    assert accuracy.largest_kl == pytest.approx(0.25 * np.log(1 / 3) + 0.75 * np.log(3))
    assert accuracy.kl == pytest.approx(accuracy.largest_kl / 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_agrees_with_nothing(bad):
    accuracy = Accuracy()
    for got in ([0.0, 1.0], [bad, 1.0], [0.0, 1.0]):
        accuracy.add(np.array(got), np.array([0.0, 1.0]))
    assert (accuracy.tokens, accuracy.agreed) == (3, 2)
    assert accuracy.error == accuracy.kl == accuracy.largest_kl == np.inf


def test_every_number_of_the_table_has_a_source():
    rows = cap.table()
    for group in (*rows["machine"].values(), rows["cost"], rows["repo"]):
        for name, row in group.items():
            assert isinstance(row["value"], int | float) and len(row["source"]) >= 8, name
            assert row["evidence"] in ("documented", "published", "assumption"), name
    for arch in ("wse2", "wse3"):
        assert rows["machine"][arch]["price"]["evidence"] == rows["machine"][arch]["power"]["evidence"] == "assumption"


def model(folder, **more):
    write_model(
        folder, model_type="mixtral", architectures=["MixtralForCausalLM"], num_local_experts=4, num_experts_per_tok=2, **more
    )  # fmt: skip
    return str(folder)


def test_the_command(tmp_path, capsys):
    folder = model(tmp_path / "m")
    arguments = ["cap", folder, "--mesh", "4x2", "--batch", "2", "--regions", "2", "--new", "2", "--prompt-length", "3"]
    assert main([*arguments, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["run"]["regions"] == 2 and len(first["steps"]) == 2 and first["accuracy"]["routes"] == 2 * 5 * 2
    (tmp_path / "first.json").write_text(json.dumps(first))
    picture = tmp_path / "radar.svg"
    more = ["--as-repo", "--sources", "--svg", str(picture), "--against", str(tmp_path / "first.json")]
    assert main([*arguments, *more]) == 0
    text = capsys.readouterr().out
    for word in (
        "S-MBU = (S_activated",
        "F_peak            8 PEs x 2 x 4 x 1.1 GHz",
        "sets of experts agree",
        "capital not amortised",
    ):
        assert word in text
    assert "CPU_COST" in text
    root = ElementTree.fromstring(picture.read_text())
    polygons = root.findall("{http://www.w3.org/2000/svg}polygon")
    assert len(polygons) == 4 + 2  # rings, and the two reports
    # the same run twice: the same shape, with cost and speed as good as the best
    assert polygons[4].get("points") == polygons[5].get("points")


@pytest.mark.parametrize(
    "more, code, message",
    [
        (["--batch", "0"], 2, "--batch 0: expected at least 1"),
        (["--tokens", "1,2"], 2, "--tokens gives 1 prompts: expected 2 (--batch)"),
        (["--tokens", "1,,2"], 2, "--tokens 1,,2: expected token numbers"),
        (["--clock", "-1"], 2, "--clock -1.0"),
        (["--against", "nothing.json"], 2, "--against nothing.json"),
        (["--regions", "3"], 1, "MS1431"),
        (["--batch", "500"], 1, "of 500 sequences"),
    ],
)
def test_mistakes(more, code, message, tmp_path, capsys):
    folder = model(tmp_path / "m")
    assert main(["cap", folder, "--mesh", "4x2", "--batch", "2", *more]) == code
    assert message in capsys.readouterr().err


def test_more_experts_chosen_than_there_are(tmp_path, capsys):
    folder = model(tmp_path / "m")
    file = tmp_path / "m/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_experts_per_tok": 5}))
    assert main(["cap", folder, "--mesh", "4x2"]) == 1
    assert f"error[MS1430]: {file}: a token goes through 5 experts, but there are 4" in capsys.readouterr().err
