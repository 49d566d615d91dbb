"""Notebooks run, and what they show is right: circuits, models, results, one line of progress."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import types
from pathlib import Path
from xml.etree import ElementTree

import pytest
from torch import nn

import qnnw
from qnnw.circuit import parameter
from qnnw.circuit.drawing import MOST_COLUMNS
from qnnw.circuit.gates import GATES
from qnnw.nn import QuantumTrain
from qnnw.training.progress import OneLine
from qnnw.training.result import Result
from qnnw.training.runs import resume

ACCURACY = {
    "the_paper_in_ten_minutes": r"gradients: test accuracy 0\.9",
    "your_own_model": r"test accuracy 0\.[89]",
}
DOCS = Path(__file__).resolve().parent.parent / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.py"))
SVG = "{http://www.w3.org/2000/svg}"


def test_there_are_two_and_each_has_its_page():
    assert [path.stem for path in NOTEBOOKS] == ["the_paper_in_ten_minutes", "your_own_model"]
    for path in NOTEBOOKS:
        page = path.with_suffix(".md").read_text("utf-8")
        assert f"<!-- notebook: notebooks/{path.name} -->" in page
        assert f"notebooks/{path.stem}.md" in (DOCS.parent / "mkdocs.yml").read_text("utf-8")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_page_shows_every_cell_and_what_it_says(path):
    """The page is made by running the notebook: its words, its code, its pictures."""
    sys.path.insert(0, str(DOCS))
    try:
        from hooks import notebook
    finally:
        sys.path.remove(str(DOCS))
    page, source = notebook(path), path.read_text("utf-8")
    assert page.count("```python\n") == source.count("# %%\n") >= 5
    blocks = re.findall(r"```python\n(.*?)\n```", page, flags=re.DOTALL)
    assert all(block in source for block in blocks)
    assert "jupytext" not in page
    assert "# %%" not in page
    printed = "\n".join(re.findall(r"```text\n(.*?)\n```", page, flags=re.DOTALL))
    assert re.search(ACCURACY[path.stem], printed), printed
    assert page.count("<svg") == 1
    assert page.count('src="data:image/png;base64,iVBOR') == source.count(".plot()")


def picture(html):
    """The SVG in it, parsed, and its gates: names and what their titles say."""
    (text,) = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    svg = ElementTree.fromstring(text)
    gates = [one for one in svg.iter(f"{SVG}g") if one.get("class") == "gate"]
    return svg, [(one.get("data-name"), one.find(f"{SVG}title").text) for one in gates]


@pytest.mark.parametrize("entanglement", ["linear", "full", "sca", ((2, 0),)])
def test_efficient_su2_is_drawn_gate_by_gate(entanglement):
    ansatz = qnnw.EfficientSU2(3, 2, entanglement)
    _, gates = picture(ansatz._repr_html_())
    expected = [("h", f"h on {q}") for q in range(3)]
    for layer in range(3):
        for kind, start in (("ry", 6 * layer), ("rz", 6 * layer + 3)):
            expected += [(kind, f"{kind}(θ[{start + q}]) on {q}") for q in range(3)]
        if layer < 2:
            pairs = ansatz.entangler_pairs(layer)
            expected += [("cx", f"cx on {control}, {target}") for control, target in pairs]
    assert gates == expected


def test_every_gate_is_drawn_on_its_qubits():
    gates = []
    for name, kind in GATES.items():
        gates.append((name, range(kind.num_qubits)[::-1], [0.5] * kind.num_angles))
    for start in range(0, len(gates), 12):
        circuit = qnnw.Circuit(3, gates[start : start + 12])
        svg, drawn = picture(circuit._repr_html_())
        assert [name for name, _ in drawn] == [name for name, *_ in gates[start : start + 12]]
        assert [title.split(" on ")[1].count(",") + 1 for _, title in drawn] == [
            len(qubits) for _, qubits, _ in gates[start : start + 12]
        ]
        # Gates of one qubit in common stand in columns of their own, boxes within the picture.
        for one in svg.iter(f"{SVG}rect"):
            assert float(one.get("y")) >= 0
            assert float(one.get("x")) + float(one.get("width")) <= float(svg.get("width"))


def test_a_column_has_no_two_gates_across_each_other():
    circuit = qnnw.Circuit(4, [("cx", [0, 3]), ("x", [1]), ("h", [0]), ("h", [2])])
    svg, _ = picture(circuit._repr_html_())
    places = [one.find(f"{SVG}rect") for one in svg.iter(f"{SVG}g")][1:]
    (first,) = {float(place.get("x")) for place in places}  # all behind the CNOT, side by side
    assert first > float(svg.find(f".//{SVG}circle").get("cx"))


def test_a_deep_circuit_is_cut_and_says_so():
    html = qnnw.EfficientSU2(13, 200)._repr_html_()
    _, gates = picture(html)
    total = 13 + 2 * 13 * 201 + 12 * 200
    assert 0 < len(gates) < total
    assert f"the first {len(gates)} of {total} gates" in html
    assert len(html) < 200_000
    svg, _ = picture(html)
    assert float(svg.get("width")) <= 60 + 60 * MOST_COLUMNS


def test_angles_are_written_as_they_are():
    angle = 2 * parameter(0) - parameter(12) + 0.5
    assert str(angle) == "2*θ[0] - θ[12] + 0.5"
    assert str(-parameter(3)) == "-θ[3]"
    assert str(parameter(0) - parameter(0)) == "0"
    _, gates = picture(qnnw.Circuit(1, [("ry", [0], [angle])])._repr_html_())
    assert gates == [("ry", "ry(2*θ[0] - θ[12] + 0.5) on 0")]
    _, none = picture(qnnw.Circuit(2, [])._repr_html_())
    assert none == []


class Odd(nn.Linear):
    def extra_repr(self):
        return "<b>&"


@pytest.mark.parametrize("settings", [{}, {"trained": 9}, {"base": "keep"}, {"circuits": 3}])
def test_a_model_is_shown_with_its_circuit(settings):
    html = QuantumTrain(nn.Sequential(Odd(4, 3)), reps=1, **settings)._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;&amp;" in html
    assert "15 parameters" in html
    if "circuits" not in settings:
        assert picture(html)[1][0] == ("h", "h on 0")
    ElementTree.fromstring(f"<div>{html}</div>")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return qnnw.train(data="iris", epochs=2, reps=1, out=tmp_path_factory.mktemp("run"))


def test_a_result_is_a_dictionary_that_plots(run, tmp_path):
    import json

    assert isinstance(run, Result)
    assert run == json.loads(json.dumps(run))
    assert isinstance(resume(run["run_dir"]), Result)
    figure = run.plot()
    assert figure._repr_png_().startswith(b"\x89PNG")
    figure.savefig(tmp_path / "history.svg")
    assert "test_accuracy" in run._repr_html_()
    assert "&lt;" in Result(name="<", nothing=None)._repr_html_()
    ElementTree.fromstring(run._repr_html_())


def test_without_matplotlib_plot_says_what_is_missing(run):
    script = f"""
import sys
sys.modules["matplotlib"] = None
from qnnw.training.result import Result
Result(run_dir={run["run_dir"]!r}).plot()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert "MissingExtraError: " in last
    assert "python -m pip install 'qnnw[train]'" in last


def test_in_a_notebook_progress_is_one_line(monkeypatch, capsys, tmp_path):
    shell = types.SimpleNamespace(kernel=object())
    ipython = types.SimpleNamespace(get_ipython=lambda: shell, version_info=(9, 0))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    qnnw.train(data="iris", epochs=3, reps=1, out=tmp_path)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("\n") == 1
    assert printed.out.endswith("\n")
    shown = printed.out.strip("\n").split("\r")[1:]
    assert len(shown) >= 3
    assert shown[-1].startswith("epoch 3/3: loss ")
    # A shorter text leaves nothing of a longer one.
    assert [len(text) for text in shown] == sorted(len(text) for text in shown)


def test_elsewhere_nothing_is_printed(capsys, tmp_path):
    qnnw.train(data="iris", epochs=1, reps=1, out=tmp_path)
    assert capsys.readouterr() == ("", "")
    stream = io.StringIO()
    qnnw.train(data="iris", epochs=1, reps=1, out=tmp_path, reporter=OneLine(stream))
    assert stream.getvalue().startswith("\repoch 1/1: loss")
