"""scikit-learn and LightGBM on the handbook's payments, beside `gatehouse train fraud` on the same machine.

    python tests/bench/learner/handbook.py DATA/fraud/handbook.csv.gz [target/release/gatehouse]

Features are the book's own fifteen (Le Borgne et al., section 3.2), split as configs/mappings/handbook-p2.toml says.
Also shows what resampling before a random split pretends (`--mistake`).
"""
import json
import resource
import subprocess
import sys
import time

import lightgbm
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

DELAY = 7


def features(path):
    rows = pd.read_csv(path, parse_dates=["TX_DATETIME"]).sort_values("TX_DATETIME", kind="stable")
    rows["weekend"] = (rows.TX_DATETIME.dt.day_of_week >= 5).astype(int)
    rows["night"] = (rows.TX_DATETIME.dt.hour <= 6).astype(int)
    columns = ["TX_AMOUNT", "weekend", "night"]
    by_time = rows.set_index("TX_DATETIME")
    for days in (1, 7, 30):
        amounts = by_time.groupby("CUSTOMER_ID").TX_AMOUNT.rolling(f"{days}D").agg(["count", "mean"])
        amounts = amounts.reset_index(level=0, drop=True)
        placed = place(rows, "CUSTOMER_ID", amounts)
        rows[f"customer_count_{days}"], rows[f"customer_mean_{days}"] = placed
        columns += [f"customer_count_{days}", f"customer_mean_{days}"]
    frauds = by_time.groupby("TERMINAL_ID").TX_FRAUD
    gap = frauds.rolling(f"{DELAY}D").agg(["count", "sum"]).reset_index(level=0, drop=True)
    for days in (1, 7, 30):
        wide = frauds.rolling(f"{DELAY + days}D").agg(["count", "sum"]).reset_index(level=0, drop=True)
        count, risky = place(rows, "TERMINAL_ID", wide - gap)
        rows[f"terminal_count_{days}"] = count
        rows[f"terminal_risk_{days}"] = np.divide(risky, count, out=np.zeros_like(risky), where=count > 0)
        columns += [f"terminal_count_{days}", f"terminal_risk_{days}"]
    return rows, columns


def place(rows, key, values):
    """Rolling results come group by group; puts them back in the order of rows."""
    order = rows.reset_index(drop=True).groupby(key).indices
    at = np.concatenate([order[group] for group in sorted(order)])
    out = np.empty((2, len(rows)))
    out[:, at] = values.to_numpy().T
    return out


def figures(name, truth, score, seconds):
    print(json.dumps({
        "model": name,
        "auroc": round(roc_auc_score(truth, score), 4),
        "auprc": round(average_precision_score(truth, score), 4),
        "seconds": round(seconds, 1),
    }), flush=True)


def compare(rows, columns, built):
    day = rows.TX_DATETIME
    train = rows[(day >= "2018-05-01") & (day < "2018-08-01")]
    test = rows[(day >= "2018-08-29") & (day < "2018-10-01")]
    print(json.dumps({"features_seconds": round(built, 1), "train": len(train), "test": len(test)}), flush=True)
    models = {
        "scikit-learn logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)),
        "LightGBM, 100 trees of depth 6": lightgbm.LGBMClassifier(
            n_estimators=100, max_depth=6, num_leaves=63, n_jobs=2, verbose=-1, random_state=1),
    }
    for name, model in models.items():
        began = time.time()
        model.fit(train[columns], train.TX_FRAUD)
        score = model.predict_proba(test[columns])[:, 1]
        figures(name, test.TX_FRAUD, score, time.time() - began)
    print(json.dumps({"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}), flush=True)


def smote(x, count, seed):
    draw = np.random.default_rng(seed)
    near = NearestNeighbors(n_neighbors=6).fit(x).kneighbors(x, return_distance=False)[:, 1:]
    base = draw.integers(len(x), size=count)
    other = near[base, draw.integers(5, size=count)]
    return x[base] + draw.random((count, 1)) * (x[other] - x[base])


def mistake(rows, columns):
    """The same classifier twice: resampled before a random split, and measured on the next real week."""
    day = rows.TX_DATETIME
    week = rows[(day >= "2018-07-25") & (day < "2018-08-01")]
    later = rows[(day >= "2018-08-08") & (day < "2018-08-15")]
    scaler = StandardScaler().fit(week[columns])
    x, y = scaler.transform(week[columns]), week.TX_FRAUD.to_numpy()
    for seed in (1, 2, 3):
        made = smote(x[y == 1], int((y == 0).sum() - (y == 1).sum()), seed)
        all_x, all_y = np.vstack([x, made]), np.concatenate([y, np.ones(len(made))])
        order = np.random.default_rng(seed).permutation(len(all_y))
        cut = int(0.7 * len(order))
        for name, model in {
            "logistic regression": LogisticRegression(max_iter=1_000),
            "LightGBM": lightgbm.LGBMClassifier(
                n_estimators=100, max_depth=6, n_jobs=2, verbose=-1, random_state=seed),
        }.items():
            model.fit(all_x[order[:cut]], all_y[order[:cut]])
            pretended = precision_recall_fscore_support(
                all_y[order[cut:]], model.predict(all_x[order[cut:]]), average="binary")[:3]
            real = precision_recall_fscore_support(
                later.TX_FRAUD, model.predict(scaler.transform(later[columns])), average="binary")[:3]
            print(json.dumps({
                "model": name,
                "seed": seed,
                "resampled before a random split: precision, recall, F1": [round(float(v), 3) for v in pretended],
                "the same model on the next real week": [round(float(v), 3) for v in real],
            }), flush=True)


def main():
    began = time.time()
    rows, columns = features(sys.argv[1])
    built = time.time() - began
    if "--mistake" in sys.argv:
        return mistake(rows, columns)
    compare(rows, columns, built)
    if len(sys.argv) > 2:
        for model in ("logistic", "boosted"):
            command = [sys.argv[2], "train", "fraud", "--data", sys.argv[1], "--mapping",
                       "configs/mappings/handbook-p2.toml", "--model", model, "--out", "target/handbook", "--json"]
            said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
            print(json.dumps({key: said[key] for key in ("model", "auroc", "auprc", "seconds", "peak_mib")}), flush=True)


main()
