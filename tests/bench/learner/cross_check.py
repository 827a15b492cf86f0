"""Coefficients and probabilities that learner/src/train/scorecard/tests.rs compares with, on a fixed set of 60 rows."""
import numpy as np
from sklearn.linear_model import LogisticRegression

i = np.arange(60)
x = np.stack([np.sin(i * 1.3), ((i * 7) % 11) / 5.0 - 1.0, ((i * i) % 13) / 6.0 - 1.0], axis=1)
y = 1.5 * x[:, 0] - x[:, 1] + 0.3 * x[:, 2] + 0.8 * np.sin(i * 2.7) > 0.4
for l2 in (1.0, 10.0):
    model = LogisticRegression(C=1 / l2, tol=1e-12, max_iter=10_000).fit(x, y)
    print(f"l2 {l2}: weights {model.coef_[0].round(7)}, intercept {model.intercept_[0]:.7f}")
    for row in (0, 7, 31, 59):
        print(f"  row {row}: {model.predict_proba(x[[row]])[0, 1]:.7f}")
