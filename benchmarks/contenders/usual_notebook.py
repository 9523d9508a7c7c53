"""The usual notebook, cell after cell, as a script.

Spark reads the files themselves (``binaryFile``), a pandas UDF calls Keras' ``predict`` on each
Arrow batch with weights from a broadcast, MLlib standardises and reduces, and the results are
written as Parquet and CSV. Kinder than many: the features are computed once, written and read
back, where a lazy table would have the network run again for each later step.
"""

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras.applications.mobilenet_v2 import MobileNetV2, preprocess_input
from keras.utils import img_to_array
from PIL import Image
from pyspark.ml.feature import PCA, StandardScaler
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import PandasUDFType, col, element_at, pandas_udf, split

INPUT = (224, 224, 3)
PARTITIONS = 24
PACKAGES = ("keras", "tensorflow", "pyspark")


def main() -> None:
    """Run the notebook and print how long its parts took."""
    options = _options()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = (
        SparkSession.builder.appName("P8")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.parquet.writeLegacyFormat", "true")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "1024")
        .getOrCreate()
    )
    seconds = {}
    began = time.perf_counter()
    extract(spark, options)
    seconds["features"] = time.perf_counter() - began
    began = time.perf_counter()
    reduced = reduce(spark, options)
    seconds["reduce"] = time.perf_counter() - began
    began = time.perf_counter()
    matrix = reduced.toPandas()
    matrix.to_csv(options.dest / "reduced.csv", index=False)
    seconds["csv"] = time.perf_counter() - began
    spark.stop()
    versions = {name: metadata.version(name) for name in PACKAGES}
    print(json.dumps({"images": len(matrix), "seconds": seconds, "versions": versions}))


def extract(spark: SparkSession, options: argparse.Namespace) -> None:
    """Embed all images and write path, label and features."""
    images = (
        spark.read.format("binaryFile")
        .option("pathGlobFilter", "*.jpg")
        .option("recursiveFileLookup", "true")
        .load(str(options.source))
        .withColumn("label", element_at(split(col("path"), "/"), -2))
    )
    keras.utils.set_random_seed(1)
    model = MobileNetV2(
        input_shape=INPUT, include_top=False, pooling="avg", weights=options.weights
    )
    broadcast_weights = spark.sparkContext.broadcast(model.get_weights())

    def model_fn() -> keras.Model:
        model = MobileNetV2(input_shape=INPUT, include_top=False, pooling="avg", weights=None)
        model.set_weights(broadcast_weights.value)
        return model

    def preprocess(content: bytes) -> np.ndarray:
        image = Image.open(io.BytesIO(content)).resize(INPUT[:2])
        return preprocess_input(img_to_array(image))

    def featurize_series(model: keras.Model, contents: pd.Series) -> pd.Series:
        pixels = np.stack(contents.map(preprocess))
        return pd.Series([features.flatten() for features in model.predict(pixels, verbose=0)])

    @pandas_udf("array<float>", PandasUDFType.SCALAR_ITER)
    def featurize_udf(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        model = model_fn()
        for contents in batches:
            yield featurize_series(model, contents)

    features = images.repartition(PARTITIONS).select(
        "path", "label", featurize_udf("content").alias("features")
    )
    features.write.mode("overwrite").parquet(str(options.dest / "features"))


def reduce(spark: SparkSession, options: argparse.Namespace) -> DataFrame:
    """Standardise, find the components, project and write; return what was written."""
    features = spark.read.parquet(str(options.dest / "features"))
    vectors = features.select("path", "label", array_to_vector("features").alias("vector"))
    scaler = StandardScaler(withMean=True, withStd=True, inputCol="vector", outputCol="scaled")
    scaled = scaler.fit(vectors).transform(vectors)
    pca = PCA(k=options.components, inputCol="scaled", outputCol="features_pca").fit(scaled)
    reduced = pca.transform(scaled).select("path", "label", "features_pca")
    reduced.write.mode("overwrite").parquet(str(options.dest / "reduced"))
    return spark.read.parquet(str(options.dest / "reduced"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the usual notebook.")
    parser.add_argument("source", type=Path)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--weights", help="Keras .h5 file without the top (else: random)")
    parser.add_argument("--components", type=int, default=50)
    return parser.parse_args()


if __name__ == "__main__":
    main()
