"""PEFT's adapters whose matrices a circuit makes."""

from __future__ import annotations

import json

import pytest
import torch

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

import qnnw  # noqa: E402
from qnnw.nn import Circuits  # noqa: E402
from qnnw.nn.peft import QuantumLoraConfig, QuantumPeftConfig, get_peft_model  # noqa: E402
from qnnw.nn.tensorfile import ModelFileError  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
TOKENS = torch.arange(1, 22).view(3, 7)
LABELS = torch.tensor([0, 1, 0])


def bert(seed=0):
    torch.manual_seed(seed)
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=32, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    ).eval()  # fmt: skip


def lora(**changed):
    settings = {"r": 4, "target_modules": ["query", "value"], "task_type": "SEQ_CLS"}
    return QuantumLoraConfig(**{**settings, **changed})


def trained(model, steps=5):
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=0.05)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(input_ids=TOKENS, labels=LABELS).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    return model.eval()


CONFIGS = {
    "lora": lora,
    "chunks": lambda: lora(circuits=Circuits(6, shared=True, offset=1), dtype="float32"),
    "few": lambda: lora(trained=20, reps=6),
    "qpa": lambda: lora(source="qpa", chunk=16, task_type=None),
    "ia3": lambda: QuantumPeftConfig(
        adapter=peft.IA3Config(
            target_modules=["query", "output.dense"], feedforward_modules=["output.dense"]
        )
    ),
    "prompt": lambda: QuantumPeftConfig(
        adapter=peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4), reps=2
    ),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_it_starts_as_pefts_trains_and_comes_back(kind, tmp_path):
    model = get_peft_model(bert(), CONFIGS[kind]()).eval()
    start = model(input_ids=TOKENS).logits
    with torch.no_grad():
        assert torch.equal(start, model.merge_and_unload()(input_ids=TOKENS).logits)
        if kind != "prompt":
            assert torch.equal(start, bert()(input_ids=TOKENS).logits)
    trained(model)
    expected = model(input_ids=TOKENS).logits
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(bert(), tmp_path).eval()
    assert torch.equal(again(input_ids=TOKENS).logits, expected)
    assert again.num_trainable_parameters == model.num_trainable_parameters


def test_b_is_zero_at_the_start_and_the_head_trains_besides():
    model = get_peft_model(bert(), lora())
    assert isinstance(model, qnnw.nn.QuantumTrain)
    made = {name: tensor for name, tensor in model.weights().items() if ".lora_B." in name}
    assert len(made) == 4
    assert not any(tensor.any() for tensor in made.values())
    assert {t.name.split(".")[-3] for t in model.targets} == {"lora_A", "lora_B"}
    besides = [n for n, p in model.module.named_parameters() if p.requires_grad]
    assert besides
    assert all("modules_to_save" in name for name in besides)


def test_what_is_merged_is_pefts_own_adapter(tmp_path):
    model = trained(get_peft_model(bert(), lora()))
    expected = model(input_ids=TOKENS).logits
    plain = model.merge_and_unload()
    plain.save_pretrained(tmp_path)
    theirs = peft.PeftModel.from_pretrained(bert(), tmp_path).eval()
    assert torch.equal(theirs(input_ids=TOKENS).logits, expected)
    merged = plain.merge_and_unload().eval()
    assert torch.allclose(merged(input_ids=TOKENS).logits, expected, atol=1e-5)


def test_another_network_and_a_broken_config_are_refused(tmp_path):
    model = get_peft_model(bert(), lora(modules_to_save=["classifier"]))
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelFileError, match="frozen parameters are not those"):
        type(model).from_pretrained(bert(seed=3), tmp_path)
    told = json.loads((tmp_path / "adapter_config.json").read_text())
    assert told["peft"]["peft_type"] == "LORA"
    (tmp_path / "adapter_config.json").write_text(json.dumps({"seed": 0}))
    with pytest.raises(ModelFileError, match="no adapter's config"):
        type(model).from_pretrained(bert(), tmp_path)
    with pytest.raises(TypeError, match="`config` is of type LoraConfig"):
        get_peft_model(bert(), peft.LoraConfig())
    with pytest.raises(TypeError, match="`adapter` is of type NoneType"):
        get_peft_model(bert(), QuantumPeftConfig())
    with pytest.raises(ValueError, match="`source` is 'x'; by name there are"):
        get_peft_model(bert(), lora(source="x"))
