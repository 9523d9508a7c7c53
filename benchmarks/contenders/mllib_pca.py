"""Spark's own reduce stage: MLlib's StandardScaler and PCA, as notebooks use them."""

import argparse
import json
import os
import sys
import time
from importlib import metadata
from pathlib import Path

from pyspark.ml.feature import PCA, StandardScaler
from pyspark.ml.functions import array_to_vector
from pyspark.sql import SparkSession


def main() -> None:
    """Fit and project once, in a warm session, and print how long that took."""
    options = _options()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = (
        SparkSession.builder.master("local[*]")
        .appName("mllib")
        .config("spark.driver.memory", options.memory)
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    spark.range(1000).mapInArrow(lambda batches: batches, "id long").count()
    began = time.perf_counter()
    features = spark.read.parquet(str(options.features))
    vectors = features.select("path", "label", array_to_vector("features").alias("vector"))
    scaler = StandardScaler(withMean=True, withStd=True, inputCol="vector", outputCol="scaled")
    scaled = scaler.fit(vectors).transform(vectors)
    pca = PCA(k=options.components, inputCol="scaled", outputCol="features_pca").fit(scaled)
    fitted = time.perf_counter()
    reduced = pca.transform(scaled).select("path", "label", "features_pca")
    reduced.write.mode("overwrite").parquet(str(options.reduced))
    ended = time.perf_counter()
    answer = {
        "rows": spark.read.parquet(str(options.reduced)).count(),
        "fit": fitted - began,
        "project": ended - fitted,
        "ratios": pca.explainedVariance.toArray().tolist(),
        "versions": {"pyspark": metadata.version("pyspark")},
    }
    spark.stop()
    print(json.dumps(answer))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path, help="folder of the Parquet files")
    parser.add_argument("reduced", type=Path, help="folder to write")
    parser.add_argument("--components", type=int, required=True)
    parser.add_argument("--memory", default="4g", help="of the driver, which is all of local Spark")
    return parser.parse_args()


if __name__ == "__main__":
    main()
