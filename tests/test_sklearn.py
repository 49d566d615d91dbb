"""The scikit-learn classifier keeps scikit-learn's rules, and learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from qnnw.sklearn import QuantumTrainClassifier


@parametrize_with_checks([QuantumTrainClassifier(random_state=0, epochs=60)])
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
