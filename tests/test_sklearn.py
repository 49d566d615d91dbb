"""The scikit-learn classifier keeps scikit-learn's rules, and learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from qnnw.sklearn import QuantumTrainClassifier, QuantumTrainRegressor
from qnnw.sklearn.samples import merged
from qnnw.weights.rivals import DirectSource


@parametrize_with_checks(
    [
        QuantumTrainClassifier(random_state=0, epochs=60),
        QuantumTrainRegressor(random_state=0, epochs=60),
    ]
)
@pytest.mark.filterwarnings("ignore")
def test_keeps_scikit_learns_rules(estimator, check):
    check(estimator)


def test_learns_iris_in_a_pipeline():
    features, labels = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), QuantumTrainClassifier(random_state=1))
    assert cross_val_score(pipeline, features, labels, cv=3).mean() > 0.92


@pytest.mark.parametrize("optimizer", ["cobyla", "cobyla-fast", "spsa"])
def test_learns_by_values_alone(optimizer):
    features, labels = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[labels]
    inputs = StandardScaler().fit_transform(features)
    classifier = QuantumTrainClassifier(
        optimizer=optimizer, reps=1, learning_rate=1.0, max_evaluations=800, random_state=0
    )
    classifier.fit(inputs, names)
    assert classifier.score(inputs, names) > 0.85
    assert classifier.n_iter_ <= 800
    assert set(classifier.predict(inputs)) <= set(names)


def small_cnn(num_features, num_classes):
    assert num_features == 64
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(72, num_classes),
    )  # fmt: skip


def test_takes_a_network_of_ones_own():
    images, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(images / 16, labels, random_state=0)
    classifier = QuantumTrainClassifier(small_cnn, reps=12, epochs=20, random_state=0)
    before = torch.random.get_rng_state()
    classifier.fit(train, train_labels)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert classifier.score(test, test_labels) > 0.85
    again = QuantumTrainClassifier(small_cnn, reps=12, epochs=20, random_state=0)
    again.fit(train, train_labels)
    assert np.array_equal(again.predict_proba(test), classifier.predict_proba(test))
    assert not any("qnnw" in type(m).__module__ for m in classifier.network_.modules())


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"optimizer": "sgd"}, "`optimizer` is 'sgd'"),
        ({"epochs": 0}, "`epochs` is 0"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"max_evaluations": 0}, "`max_evaluations` is 0"),
        ({"learning_rate": 0.0}, "`learning_rate` is 0.0"),
        ({"mapping": "odd"}, "`mapping`"),
        ({"scale": "odd"}, "`scale` is 'odd'"),
    ],
)
def test_wrong_settings_are_told(changed, text):
    features, labels = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=text):
        QuantumTrainClassifier(**changed).fit(features, labels)


def flowers():
    features, labels = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(features), labels


def normed(num_features, num_outputs):
    return nn.Sequential(
        nn.Linear(num_features, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, num_outputs)
    )


@pytest.mark.parametrize("samples", [33, 65, 66])
def test_a_last_batch_of_one_joins_the_one_before(samples):
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(samples, 4)), np.arange(samples) % 3
    classifier = QuantumTrainClassifier(normed, reps=1, epochs=2, batch_size=32, random_state=0)
    classifier.fit(features, labels)
    assert classifier.n_iter_ == 2 * {33: 1, 65: 2, 66: 3}[samples]
    assert np.isfinite(classifier.predict_proba(features)).all()
    QuantumTrainRegressor(normed, reps=1, epochs=2, batch_size=32).fit(features, features[:, 0])


def test_a_weight_is_a_repetition_bit_for_bit():
    features, labels = flowers()
    counts = np.random.default_rng(1).integers(0, 4, len(labels))
    order = np.random.default_rng(2).permutation(counts.sum())
    for estimator, targets in (
        (QuantumTrainClassifier(epochs=3, random_state=0), labels),
        (QuantumTrainRegressor(epochs=3, random_state=0), features[:, 3]),
    ):
        weighted = estimator.fit(features, targets, sample_weight=counts).predict(features)
        repeated = features.repeat(counts, axis=0)[order], targets.repeat(counts)[order]
        assert np.array_equal(estimator.fit(*repeated).predict(features), weighted)


def test_samples_that_differ_keep_their_order():
    features = np.random.default_rng(0).normal(size=(20, 3))
    kept = merged(features, np.arange(20) % 2, None)
    assert kept[0] is features
    assert kept[2] is None
    _, targets, weights = merged(features.repeat(2, axis=0), np.arange(40) // 2 % 2, None)
    assert weights.tolist() == [2.0] * 20
    assert targets.sum() == 10


def test_weights_of_classes():
    features, labels = flowers()
    few = np.r_[0:50, 50:60, 100:150]  # ten of one class
    plain = QuantumTrainClassifier(reps=1, epochs=30, random_state=0).fit(
        features[few], labels[few]
    )
    balanced = QuantumTrainClassifier(reps=1, epochs=30, class_weight="balanced", random_state=0)
    balanced.fit(features[few], labels[few])
    share = np.where(labels[few] == 1, 110 / (3 * 10), 110 / (3 * 50))
    by_hand = QuantumTrainClassifier(reps=1, epochs=30, random_state=0)
    by_hand.fit(features[few], labels[few], sample_weight=share)
    recall = lambda model: (model.predict(features[50:100]) == 1).mean()  # noqa: E731
    assert recall(balanced) > recall(plain)
    probabilities = balanced.predict_proba(features)
    np.testing.assert_allclose(by_hand.predict_proba(features), probabilities, rtol=1e-3, atol=1e-3)
    none = QuantumTrainClassifier(epochs=5, class_weight={0: 0.0}, random_state=0)
    assert 0 not in none.fit(features, labels).predict(features[50:])


def test_partial_fit_goes_on():
    features, labels = flowers()
    classifier = QuantumTrainClassifier(reps=4, learning_rate=0.03, random_state=0)
    with pytest.raises(ValueError, match="`classes` must be given in the first call"):
        classifier.partial_fit(features, labels)
    rng = np.random.default_rng(0)
    for _ in range(80):
        part = rng.permutation(150)[:64]
        classifier.partial_fit(features[part], labels[part], classes=[0, 1, 2])
    assert classifier.n_iter_ == 160
    assert classifier.score(features, labels) > 0.9
    with pytest.raises(ValueError, match="`y` has the class 7"):
        classifier.partial_fit(features, np.full(150, 7))
    with pytest.raises(ValueError, match="`classes` is"):
        classifier.partial_fit(features, labels, classes=[0, 1])
    assert not hasattr(QuantumTrainClassifier(optimizer="cobyla"), "partial_fit")


def test_early_stopping_keeps_the_best_epoch():
    features, labels = flowers()
    classifier = QuantumTrainClassifier(
        epochs=200, early_stopping=True, validation_fraction=0.2, n_iter_no_change=5, random_state=0
    ).fit(features, labels)
    scores = classifier.validation_scores_
    assert len(scores) < 200
    assert classifier.best_validation_score_ == max(scores)
    best = scores.index(max(scores))
    assert len(scores) >= best + 6
    regressor = QuantumTrainRegressor(epochs=30, early_stopping=True, random_state=0)
    regressor.fit(features[:, :3], features[:, 3])
    assert regressor.best_validation_score_ > 0.8
    with pytest.raises(ValueError, match="`optimizer` is 'cobyla'"):
        QuantumTrainClassifier(optimizer="cobyla", early_stopping=True).fit(features, labels)


def test_a_warm_start_goes_on():
    features, labels = flowers()
    classifier = QuantumTrainClassifier(reps=1, epochs=3, warm_start=True, random_state=0)
    first = classifier.fit(features, labels)
    model, loss = first.model_, first.loss_
    for _ in range(5):
        classifier.fit(features, labels)
    assert classifier.model_ is model
    assert classifier.loss_ < loss


def test_the_regressor_learns_diabetes():
    features, targets = load_diabetes(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), QuantumTrainRegressor(epochs=30, random_state=0))
    assert cross_val_score(pipeline, features, targets, cv=3).mean() > 0.3
    both = np.stack([targets, -2 * targets], axis=1)
    two = pipeline.fit(features, both).predict(features)
    assert two.shape == both.shape
    np.testing.assert_allclose(two.mean(axis=0), both.mean(axis=0), rtol=0.1)


def test_any_source_makes_the_weights():
    features, labels = flowers()
    for source in (
        DirectSource([(131, 4)], seed=0),
        lambda size: DirectSource([(size, 4)], seed=0),
    ):
        classifier = QuantumTrainClassifier(source=source, optimizer="adam", random_state=0)
        assert classifier.fit(features, labels).score(features, labels) > 0.95
        assert list(classifier.model_.numbers) == list(classifier.model_.source.groups)


def test_a_network_that_was_given_is_left_alone():
    features, labels = flowers()
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    QuantumTrainClassifier(network, epochs=1).fit(features, labels)
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())
    assert isinstance(network[0].weight, nn.Parameter)


def test_numpy_scalars_are_numbers():
    features, labels = flowers()
    plain = {
        "reps": 2,
        "gamma": 1.0,
        "learning_rate": 0.05,
        "epochs": 2,
        "batch_size": 40,
        "random_state": 0,
    }
    scalars = {
        name: np.int64(value) if isinstance(value, int) else np.float64(value)
        for name, value in plain.items()
    }
    left = QuantumTrainClassifier(**plain).fit(features, labels)
    right = QuantumTrainClassifier(**scalars).fit(features, labels)
    assert np.array_equal(left.predict_proba(features), right.predict_proba(features))


def test_the_papers_map_by_name():
    settings = QuantumTrainClassifier.paper(epochs=5).get_params()
    assert (settings["mapping"], settings["scale"], settings["gamma"]) == ("paper", "none", 0.3)
    assert settings["epochs"] == 5
    assert QuantumTrainRegressor.paper().get_params()["mapping"] == "paper"
    assert "class_weight" not in QuantumTrainRegressor().get_params()


@pytest.mark.parametrize("method", ["fit", "partial_fit", "predict", "predict_proba", "score"])
def test_masked_samples_are_refused_by_name(method):
    x, y = load_iris(return_X_y=True)
    masked = np.ma.masked_greater(x, 5.0)
    model = QuantumTrainClassifier(reps=1, epochs=1).fit(x, y)
    call = getattr(model, method)
    with pytest.raises(TypeError, match="`X` is of type MaskedArray"):
        call(masked) if method.startswith("predict") else call(masked, y)
    if "fit" in method:
        with pytest.raises(TypeError, match="`y` is of type MaskedArray"):
            call(x, np.ma.masked_equal(y, 1))
        with pytest.raises(TypeError, match="`sample_weight` is of type MaskedArray"):
            call(x, y, sample_weight=np.ma.masked_equal(np.ones(len(y)), 1))
