"""For scikit-learn: classifier and regressor whose network's weights a quantum circuit makes."""

from qnnw._common.extras import needs as _needs

with _needs("train", "qnnw.sklearn"):
    from qnnw.sklearn.classifier import QuantumTrainClassifier
    from qnnw.sklearn.regressor import QuantumTrainRegressor

__all__ = ["QuantumTrainClassifier", "QuantumTrainRegressor"]
