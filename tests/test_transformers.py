"""Small models of transformers through QuantumTrain, with the calls that their users make."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from qnnw.nn import QuantumTrain

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
TOKENS = torch.arange(1, 22).view(3, 7)


def llama():
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=32,
            tie_word_embeddings=True,
        )
    )  # fmt: skip


def bert():
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=32, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )  # fmt: skip


def gpt2():
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=50, n_positions=32, n_embd=16, n_layer=2, n_head=2, resid_pdrop=0.0,
            embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
        )
    )  # fmt: skip


MODELS = {"llama": llama, "bert": bert, "gpt2": gpt2}


def built(name):
    torch.manual_seed(0)
    return MODELS[name]()


def loss_of(model, name):
    labels = torch.tensor([0, 1, 0]) if name == "bert" else TOKENS
    return model(input_ids=TOKENS, attention_mask=torch.ones_like(TOKENS), labels=labels).loss


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_gives_the_same_gradient(name, reentrant):
    plain, saving = (QuantumTrain(built(name), reps=2).train() for _ in range(2))
    saving.gradient_checkpointing_enable({"use_reentrant": reentrant})
    for model in (plain, saving):
        loss_of(model, name).backward()
    largest = plain.angles.grad.abs().max()
    assert largest > 0
    assert (plain.angles.grad - saving.angles.grad).abs().max() <= 1e-6 * largest


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_it_trains_merges_saves_and_reloads(name, tmp_path):
    model = QuantumTrain(built(name), reps=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    with torch.enable_grad():
        for _ in range(20):
            optimizer.zero_grad()
            loss = loss_of(model, name)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert min(losses[1:]) < losses[0]
    model.eval()
    expected = model(input_ids=TOKENS).logits
    plain = model.merge_and_unload()
    assert torch.equal(plain(input_ids=TOKENS).logits, expected)
    model.save_pretrained(tmp_path / "ours")
    again = QuantumTrain.from_pretrained(built(name), tmp_path / "ours").eval()
    assert torch.equal(again(input_ids=TOKENS).logits, expected)
    plain.save_pretrained(tmp_path / "theirs")
    theirs = type(plain).from_pretrained(tmp_path / "theirs").eval()
    assert torch.equal(theirs(input_ids=TOKENS).logits, expected)
    if name != "bert":
        settings = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
        mask = torch.ones_like(TOKENS)
        found = model.generate(TOKENS, attention_mask=mask, **settings)
        assert torch.equal(found, plain.generate(TOKENS, attention_mask=mask, **settings))


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_a_kept_model_starts_as_it_is_and_its_adapters_swap(name, tmp_path):
    plain = built(name).eval()
    model = QuantumTrain(plain, base="keep", trained=255, reps=9, circuits=9).eval()
    expected = plain(input_ids=TOKENS).logits
    assert torch.equal(model(input_ids=TOKENS).logits, expected)
    model.angles.add_(0.5)
    changed = model(input_ids=TOKENS).logits
    model.add_adapter("second", reps=2)
    model.set_adapter("second")
    assert torch.equal(model(input_ids=TOKENS).logits, expected)
    model.set_adapter("default")
    assert torch.equal(model(input_ids=TOKENS).logits, changed)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size <= 8000
    again = QuantumTrain.from_pretrained(plain, tmp_path).eval()
    assert torch.equal(again(input_ids=TOKENS).logits, changed)
