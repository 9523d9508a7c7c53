# The source of both notebooks: code once, text in English and in French under the same name.
# After a change: make notebook

# %% [markdown] start en
# # Images to features to principal components, in PySpark
#
# This notebook turns a set of labelled images into 1,280 features for each image with a
# convolutional network, and reduces the features with a principal component analysis (PCA). It
# shows every step in plain PySpark:
#
# 1. read the images with Spark and take the label from the folder,
# 2. preprocess an image as Keras does,
# 3. broadcast the weights of the network,
# 4. extract the features with a `pandas_udf`,
# 5. standardise them and fit MLlib's PCA,
# 6. write Parquet and CSV to the bucket, read both back and check them.
#
# Then one call of `featuremill.run` does the same, and both results and both times are shown side
# by side.
#
# The same file runs on a laptop, on Colab, in a Databricks-like session and on EMR. As it stands
# it draws its own images and needs no network. **On EMR, read [the last section](#On-EMR) first.**

# %% [markdown] start fr
# # Des images aux composantes principales, en PySpark
#
# Ce notebook calcule 1 280 *features* pour chaque image d'un jeu étiqueté, avec un réseau
# convolutif, puis réduit leur dimension par une analyse en composantes principales (ACP). Chaque
# étape est écrite en PySpark :
#
# 1. lire les images avec Spark et déduire l'étiquette du dossier,
# 2. prétraiter une image comme le fait Keras,
# 3. diffuser les poids du réseau (*broadcast*),
# 4. extraire les *features* avec une `pandas_udf`,
# 5. les standardiser et ajuster l'ACP de MLlib,
# 6. écrire Parquet et CSV dans le bucket, relire les deux et les vérifier.
#
# Ensuite, un seul appel à `featuremill.run` fait la même chose, et les deux résultats et les deux
# durées sont affichés côte à côte.
#
# Le même fichier s'exécute sur un portable, sur Colab, dans une session de type Databricks et sur
# EMR. Tel quel, il dessine ses propres images et n'a pas besoin de réseau. Les commentaires du code
# sont en anglais. **Sur EMR, lisez d'abord [la dernière section](#Sur-EMR).**

# %% [raw] configure
# %%configure -f
# {"conf": {
#   "spark.archives": "s3://BUCKET/code/ARCHIVE.tar.gz#deps",
#   "spark.emr-serverless.driverEnv.PYTHONPATH": "./deps",
#   "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": "python3.11",
#   "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": "python3.11",
#   "spark.executorEnv.PYTHONPATH": "./deps",
#   "spark.executorEnv.PYSPARK_PYTHON": "python3.11",
#   "spark.executorEnv.NUMBA_CACHE_DIR": "./numba",
#   "spark.executorEnv.OMP_NUM_THREADS": "1",
#   "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
#   "spark.task.maxFailures": "4"
# }}

# %% [markdown] choose en
# ## Parameters
#
# `SOURCE` and `DESTINATION` are folders or `s3://bucket/prefix`. `WEIGHTS` is the Keras file of
# MobileNetV2 without its top layer
# (`mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5`). Without it the network
# `embedded` is used: a smaller network that comes with featuremill and was trained to give the
# features of MobileNetV2.

# %% [markdown] choose fr
# ## Paramètres
#
# `SOURCE` et `DESTINATION` sont des dossiers ou des `s3://bucket/préfixe`. `WEIGHTS` est le fichier
# Keras de MobileNetV2 sans sa dernière couche
# (`mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5`). Sans ce fichier, le
# notebook utilise le réseau `embedded` : un réseau plus petit, livré avec featuremill et entraîné à
# reproduire les *features* de MobileNetV2.

# %% [code] parameters tags=parameters
import os

SOURCE = ""  # empty: images are drawn, on one machine
DESTINATION = "featuremill-notebook"
WEIGHTS = os.environ.get("WEIGHTS", "")  # a Keras .h5 of MobileNetV2; empty: embedded
COMPONENTS = 50
DRAWN_CLASSES, DRAWN_PER_CLASS = 8, 40

# %% [code] say en
# what figures and tables say
SAY = {
    "component": "component",
    "components": "components",
    "of_variance": "% of the variance",
    "held": "cumulative % of the variance",
    "first": "first component",
    "second": "second component",
    "features": "features",
    "deviation": "standard deviation of a feature",
    "constant": "{} of {} features are constant",
    "floored": "{} features rest on few images: their divisor is above their deviation",
    "needed": "{:.0%} of the variance needs {} components",
    "more": "more than {}",
    "kept": "{} components hold {:.2%} of the variance",
    "table": ("", "step by step", "featuremill.run", "difference"),
    "extract": "features, s",
    "reduce": "PCA and files, s",
    "whole": "from images to files, s",
    "spectrum": "variance of component {}",
    "sum": "variance of {} components",
    "largest": "largest difference of a feature:",
}

# %% [code] say fr
# what figures and tables say
SAY = {
    "component": "composante",
    "components": "composantes",
    "of_variance": "% de la variance",
    "held": "% cumulé de la variance",
    "first": "première composante",
    "second": "deuxième composante",
    "features": "features",
    "deviation": "écart-type d'une feature",
    "constant": "{} features constantes sur {}",
    "floored": "{} features reposent sur peu d'images : leur diviseur dépasse leur écart-type",
    "needed": "{:.0%} de la variance : {} composantes",
    "more": "plus de {}",
    "kept": "{} composantes expliquent {:.2%} de la variance",
    "table": ("", "pas à pas", "featuremill.run", "écart"),
    "extract": "features, s",
    "reduce": "ACP et fichiers, s",
    "whole": "des images aux fichiers, s",
    "spectrum": "variance de la composante {}",
    "sum": "variance de {} composantes",
    "largest": "plus grand écart d'une feature :",
}

# %% [code] needed
import importlib.util

# nothing is fetched here: what is installed comes from lock files with hashes
needed = ("featuremill", "matplotlib", "pyspark", "onnxruntime", "pandas")
if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
    raise ModuleNotFoundError(
        f"{' and '.join(missing)} cannot be imported here. `featuremill cloud server up`,"
        " `featuremill cloud cluster up` and the container of docs/docker.md have what this"
        " notebook needs; in a clone of featuremill,"
        " `pip install '.[spark,pandas,onnxruntime]' matplotlib` installs it."
    )

# %% [markdown] session en
# ## The Spark session
#
# EMR and Databricks have a session already, and `getOrCreate` returns it; elsewhere it starts one
# on all cores of this machine. `%matplot plt` is how Livy, which stands between a notebook and an
# EMR cluster, shows a figure; in Jupyter the command does nothing.

# %% [markdown] session fr
# ## La session Spark
#
# EMR et Databricks ont déjà une session, et `getOrCreate` la renvoie ; ailleurs, il en démarre une
# sur tous les cœurs de la machine. `%matplot plt` est la commande par laquelle Livy,
# l'intermédiaire entre un notebook et un cluster EMR, affiche une figure ; dans Jupyter, elle ne
# fait rien.

# %% [code] session
import contextlib
import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnx
import onnxruntime
import pandas as pd
from PIL import Image, ImageOps
from pyspark.ml.feature import PCA, ElementwiseProduct, StandardScaler
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.linalg import Vectors
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import featuremill

jupyter = globals().get("get_ipython")
if jupyter:
    jupyter().register_magic_function(lambda _: None, magic_name="matplot")

plt.rcParams["figure.dpi"] = 80
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # workers take the Python of the driver
own_session = SparkSession.getActiveSession() is None
spark = (
    SparkSession.builder.appName("featuremill notebook")
    .config("spark.driver.memory", "2g")
    .config("spark.ui.showConsoleProgress", "false")
    .getOrCreate()
)
spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", 64)  # images to a batch
cores = spark.sparkContext.defaultParallelism
print(f"Spark {spark.version}, {cores} cores, featuremill {featuremill.__version__}")

# %% [markdown] read en
# ## 1. Read the images, take the label
#
# `binaryFile` reads files as rows: path, size, time of modification, content. Nothing is read
# before an action asks for it, and an action that needs no content reads none. The label of an
# image is the name of its folder.

# %% [markdown] read fr
# ## 1. Lire les images, déduire l'étiquette
#
# `binaryFile` lit chaque fichier comme une ligne : chemin, taille, date de modification, contenu.
# Rien n'est lu avant qu'une action ne le demande, et une action qui n'a pas besoin du contenu ne le
# lit pas. L'étiquette d'une image est le nom de son dossier.

# %% [code] read
base = DESTINATION if "://" in DESTINATION else str(Path(DESTINATION).resolve())
results = f"{base}/{time.strftime('%Y%m%d-%H%M%S')}"  # a folder for each execution
source = SOURCE if not SOURCE or "://" in SOURCE else str(Path(SOURCE).resolve())
if not source:
    from featuremill.cli import main as command

    source = f"{base}/images"
    drawn = ["--classes", str(DRAWN_CLASSES), "--per-class", str(DRAWN_PER_CLASS), "--seed", "1"]
    with contextlib.redirect_stdout(io.StringIO()):
        command(["synth", source, *drawn], standalone_mode=False)

images = (
    spark.read.format("binaryFile")
    .option("recursiveFileLookup", "true")
    .option("pathGlobFilter", "*.{jpg,jpeg,png,webp,JPG,JPEG,PNG,WEBP}")
    .load(source)
    .withColumn("label", F.element_at(F.split("path", "/"), -2))
)
images.printSchema()
per_class = images.groupBy("label").agg(
    F.count("*").alias("images"), F.round(F.avg("length")).cast("int").alias("mean_bytes")
)
per_class.orderBy("label").show(20, truncate=False)

# %% [code] pictures
some = images.where(F.rand(seed=1) < 0.5).select("label", "content").limit(200).toPandas()
shown = sorted(some["label"].unique())[:8]
figure, axes = plt.subplots(2, len(shown), figsize=(9, 2.8), squeeze=False)
for column, label in zip(axes.T, shown, strict=True):
    for axis, content in zip(column, some[some["label"] == label]["content"], strict=False):
        axis.imshow(Image.open(io.BytesIO(content)).convert("RGB"))
    column[0].set_title(label.replace("-", "\n").replace(" ", "\n"), fontsize=9)
for axis in axes.flat:
    axis.axis("off")
figure.tight_layout(pad=0.4)
# %matplot plt

# %% [markdown] preprocess en
# ## 2. Preprocess as Keras does
#
# The network is loaded once, on the driver, as an ONNX graph with its weights inside. Its last
# layer is the global average pooling, so its output is the 1,280 features and not the 1,000
# ImageNet classes: this is transfer learning, and the weights stay as they are.
#
# Keras decodes the image to RGB, resizes it to the input of the network and scales levels from
# 0…255 to −1…1 (`preprocess_input`). The function below does the first two. The first operation of
# the graph does the third, and the cell checks it.

# %% [markdown] preprocess fr
# ## 2. Prétraiter comme Keras
#
# Le réseau est chargé une seule fois, sur le driver, sous la forme d'un graphe ONNX qui contient
# ses poids. Sa dernière couche est le *global average pooling* : sa sortie est donc les 1 280
# *features*, et non les 1 000 classes d'ImageNet. C'est du *transfer learning* : les poids ne
# changent pas.
#
# Keras décode l'image en RGB, la redimensionne à la taille d'entrée du réseau et ramène les niveaux
# de 0…255 à −1…1 (`preprocess_input`). La fonction ci-dessous fait les deux premières opérations.
# La première opération du graphe fait la troisième, et la cellule le vérifie.

# %% [code] preprocess
model = "mobilenetv2" if WEIGHTS else "embedded"
network = featuremill.load_network(model, Path(WEIGHTS) if WEIGHTS else None)
height, width = network.input_size


def preprocess(content):
    """RGB pixels of shape (height, width, 3), uint8; None for what is no readable image."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return np.asarray(upright.resize((width, height), Image.Resampling.BICUBIC))


pixels = preprocess(some["content"].iloc[0])
graph = onnx.load_from_string(network.onnx)
graph.graph.output.append(onnx.helper.make_empty_tensor_value_info("normalised"))
looked_into = onnxruntime.InferenceSession(graph.SerializeToString())
[normalised] = looked_into.run(["normalised"], {"pixels": pixels[np.newaxis]})
expected = pixels.astype(np.float32) / 127.5 - 1  # Keras' preprocess_input
assert np.allclose(normalised[0].transpose(1, 2, 0), expected, atol=1e-6)
print(f"{network.name}: {pixels.shape}, {expected.min():.2f} … {expected.max():.2f}")

# %% [markdown] broadcast en
# ## 3. Broadcast the weights
#
# Every worker needs the network. Inside the function that Spark sends out, it would travel again
# with every task. As a *broadcast* it travels once to each executor, and all tasks there share that
# copy.

# %% [markdown] broadcast fr
# ## 3. Diffuser les poids (*broadcast*)
#
# Chaque worker a besoin du réseau. Dans la fonction que Spark envoie, il voyagerait de nouveau avec
# chaque tâche. En *broadcast*, il voyage une seule fois vers chaque exécuteur, et toutes les tâches
# y partagent cette copie.

# %% [code] broadcast
weights = spark.sparkContext.broadcast(network.onnx)
tasks = images.rdd.getNumPartitions()
size = len(network.onnx) / 1e6
print(f"{size:.1f} MB once to each executor, instead of {tasks} tasks x {size:.1f} MB")

# %% [markdown] extract en
# ## 4. Extract the features
#
# The `pandas_udf` works on an iterator of batches: the network is made ready once for each task and
# then used for all its batches. Each task computes on one thread, since Spark gives every core a
# task of its own. An image that cannot be read gives no features; it is counted and does not end
# the job.
#
# Nothing has been computed until `write` starts the job. It is written to Parquet at once, so that
# the features are computed only once, whatever reads them later.

# %% [markdown] extract fr
# ## 4. Extraire les *features*
#
# La `pandas_udf` travaille sur un itérateur de lots : le réseau est préparé une fois par tâche,
# puis sert pour tous ses lots. Chaque tâche calcule sur un seul fil d'exécution, puisque Spark
# donne une tâche à chaque cœur. Une image illisible ne donne pas de *features* ; elle est comptée
# et n'arrête pas le travail.
#
# Rien n'est calculé avant que `write` ne lance le travail. Le résultat est écrit tout de suite en
# Parquet : les *features* ne sont ainsi calculées qu'une fois, quel que soit le nombre de lectures.


# %% [code] extract
@F.pandas_udf("array<float>")
def extract(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(weights.value, options)
    for contents in batches:
        decoded = [preprocess(content) for content in contents]
        readable = [pixels for pixels in decoded if pixels is not None]
        computed = iter(())
        if readable:
            computed = iter(session.run(["features"], {"pixels": np.stack(readable)})[0])
        yield pd.Series([None if pixels is None else next(computed) for pixels in decoded])


started = time.perf_counter()
(
    images.select("path", "label", extract("content").alias("features"))
    .write.mode("overwrite")
    .parquet(f"{results}/features")
)
extract_seconds = time.perf_counter() - started

stored = spark.read.parquet(f"{results}/features")
features = stored.where("features is not null").cache()
embedded, unreadable = features.count(), stored.where("features is null").count()
assert embedded + unreadable == images.count()
assert features.where(F.size("features") != network.n_features).count() == 0
speed = embedded / extract_seconds
print(f"{embedded} images, {unreadable} unreadable, {extract_seconds:.1f} s, {speed:.0f} images/s")
features.select("label", F.slice("features", 1, 4).alias("first four")).show(4, truncate=False)

# %% [markdown] standardise en
# ## 5. Standardise and fit the PCA
#
# Some features vary much more than others. Without standardisation the components would describe
# those few. `StandardScaler` subtracts the mean of each feature and divides by its standard
# deviation (with *n* − 1); a constant feature stays zero. `withMean` is off by default, and a PCA
# needs it.
#
# One case needs care: a feature that fires for one image alone, at a tiny value, has a tiny
# standard deviation, and the next image that fires it would have a score of thousands. Features
# that rest on fewer than 8 images (or 1 % of them) are therefore divided by at least a hundredth of
# the usual standard deviation; `featuremill.run` has the same rule. How many images a feature *x*
# rests on is told by (Σ*x*)² / Σ*x*².

# %% [markdown] standardise fr
# ## 5. Standardiser et ajuster l'ACP
#
# Certaines *features* varient beaucoup plus que d'autres. Sans standardisation, les composantes ne
# décriraient que celles-là. `StandardScaler` soustrait la moyenne de chaque *feature* et divise par
# son écart-type (avec *n* − 1) ; une *feature* constante reste nulle. Par défaut, `withMean` n'est
# pas activé, alors qu'une ACP en a besoin.
#
# Un cas demande du soin : une *feature* qui ne réagit qu'à une seule image, par une valeur infime,
# a un écart-type infime, et la prochaine image qui l'active aurait un score de plusieurs milliers.
# Les *features* qui reposent sur moins de 8 images (ou 1 % d'entre elles) sont donc divisées par au
# moins un centième de l'écart-type habituel ; `featuremill.run` applique la même règle. Le nombre
# d'images sur lesquelles repose une *feature* *x* est donné par (Σ*x*)² / Σ*x*².

# %% [code] standardise
started = time.perf_counter()
vectors = features.withColumn("vector", array_to_vector("features"))
scaler = StandardScaler(inputCol="vector", outputCol="standardised", withMean=True, withStd=True)
scaling = scaler.fit(vectors)
mean, deviation = scaling.mean.toArray(), scaling.std.toArray()  # (1280,) each

squares = (embedded - 1) * deviation**2 + embedded * mean**2  # sum of x^2
rests_on = np.divide((embedded * mean) ** 2, squares, out=np.ones_like(mean), where=squares > 0)
rare = (deviation > 0) & (rests_on < min(max(8, embedded / 100), embedded / 4))
floor = np.median(deviation[(deviation > 0) & ~rare]) / 100
divisor = np.where(rare, np.maximum(deviation, floor), deviation)
correction = np.divide(deviation, divisor, out=np.ones_like(mean), where=divisor > 0)
corrected = ElementwiseProduct(
    scalingVec=Vectors.dense(correction), inputCol="standardised", outputCol="scaled"
)
scaled = corrected.transform(scaling.transform(vectors))
print(SAY["floored"].format(np.count_nonzero(correction < 1)))

figure, axis = plt.subplots(figsize=(7, 2.6))
axis.hist(deviation[deviation > 0], bins=60, color="#0072b2")
axis.set_xlabel(SAY["deviation"])
axis.set_ylabel(SAY["features"])
axis.set_title(SAY["constant"].format(np.count_nonzero(deviation == 0), len(deviation)))
figure.tight_layout()
# %matplot plt

# %% [markdown] fit en
# MLlib's `PCA` computes the covariance of the features on the workers, and its components on the
# driver. It is asked for more components than are kept, so that the curve shows what a choice
# gives away.

# %% [markdown] fit fr
# La `PCA` de MLlib calcule la covariance des *features* sur les workers, et ses composantes sur le
# driver. On lui demande plus de composantes que l'on n'en garde, pour que la courbe montre ce
# qu'un choix abandonne.

# %% [code] fit
examined = min(200, embedded - 1)
pca = PCA(k=examined, inputCol="scaled", outputCol="scores").fit(scaled)
explained = pca.explainedVariance.toArray()
reduce_seconds = time.perf_counter() - started

kept = min(COMPONENTS, examined)
held = np.cumsum(explained)
print(SAY["kept"].format(kept, held[kept - 1]))
for share in (0.80, 0.90, 0.95):
    enough = np.flatnonzero(held >= share)
    needed = enough[0] + 1 if len(enough) else SAY["more"].format(examined)
    print(SAY["needed"].format(share, needed))

# %% [code] scree
figure, (scree, curve) = plt.subplots(1, 2, figsize=(9, 3.4))
scree.bar(np.arange(1, 31)[: len(explained)], 100 * explained[:30], color="#0072b2")
scree.set(xlabel=SAY["component"], ylabel=SAY["of_variance"])
curve.plot(np.arange(1, examined + 1), 100 * held, color="#0072b2")
curve.plot(kept, 100 * held[kept - 1], "o", color="#d55e00")
curve.annotate(f"k = {kept}", (kept, 100 * held[kept - 1]), (8, -12), textcoords="offset points")
curve.axhline(90, color="grey", linestyle=":", linewidth=1)
curve.set(xlabel=SAY["components"], ylabel=SAY["held"], ylim=(0, 104))
figure.tight_layout()
# %matplot plt

# %% [markdown] write en
# ## 6. Write Parquet and CSV, read back, check
#
# With `DESTINATION = "s3://bucket/prefix"` the workers write to the bucket themselves. Parquet
# keeps the vector as one column; CSV has one column for each component.

# %% [markdown] write fr
# ## 6. Écrire Parquet et CSV, relire, vérifier
#
# Avec `DESTINATION = "s3://bucket/préfixe"`, les workers écrivent eux-mêmes dans le bucket. Parquet
# garde le vecteur dans une colonne ; le CSV a une colonne par composante.

# %% [code] write
started = time.perf_counter()
reduced = pca.transform(scaled).select(
    "path", "label", F.slice(vector_to_array("scores"), 1, kept).alias("features_pca")
)
reduced.write.mode("overwrite").parquet(f"{results}/reduced")
columns = [F.col("features_pca")[number].alias(f"pc_{number + 1}") for number in range(kept)]
table = spark.read.parquet(f"{results}/reduced")
table.select("path", "label", *columns).write.mode("overwrite").csv(f"{results}/csv", header=True)
reduce_seconds += time.perf_counter() - started

# %% [code] check
from_parquet = table.orderBy("path").toPandas()
from_csv = (
    spark.read.csv(f"{results}/csv", header=True, inferSchema=True).orderBy("path").toPandas()
)
scores = np.stack(from_parquet["features_pca"])  # (images, components)

assert len(from_parquet) == len(from_csv) == embedded
assert from_parquet["path"].is_unique
assert list(from_parquet["path"]) == list(from_csv["path"])
assert list(from_parquet["label"]) == list(from_csv["label"].astype(str))
assert scores.shape == (embedded, kept)
assert np.isfinite(scores).all()
assert np.allclose(from_csv.filter(like="pc_").to_numpy(), scores, atol=1e-9)
assert np.allclose(scores.mean(axis=0), 0, atol=1e-6)  # components of centred features
print(f"Parquet and CSV: {embedded} images x {kept} components, equal")
print(from_csv[["label", "pc_1", "pc_2", "pc_3"]].head(4).round(3).to_string(index=False))

# %% [markdown] see en
# ### Look at the result
#
# Every image in the plane of the first two components. The network was given no label; classes
# that lie together look alike to the network.

# %% [markdown] see fr
# ### Regarder le résultat
#
# Chaque image dans le plan des deux premières composantes. Le réseau n'a reçu aucune étiquette ;
# les classes qui se regroupent se ressemblent pour le réseau.

# %% [code] plane
labels = from_parquet["label"].to_numpy()
figure, axis = plt.subplots(figsize=(8, 4.8))
colours = plt.get_cmap("tab10")
for number, label in enumerate(sorted(set(labels))[:20]):
    own = scores[labels == label]
    marker, colour = "o" if number < 10 else "^", colours(number % 10)
    axis.scatter(
        own[:, 0], own[:, min(1, kept - 1)], s=16, marker=marker, color=colour, label=label
    )
axis.set(xlabel=SAY["first"], ylabel=SAY["second"])
axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)
figure.tight_layout()
# %matplot plt

# %% [markdown] compare en
# ## 7. The same with one call
#
# `featuremill.run` does all of this, in the same Spark session, into another folder. It also writes
# a report, resumes after an interruption, and records why an image was rejected.
#
# Both use the same network in float32, the same pixels and the same standardisation, so both must
# explain the same variance, to 1e-6. The times are of one execution with few images: most of it is
# what a job does once, so they say little about millions of images.

# %% [markdown] compare fr
# ## 7. La même chose en un appel
#
# `featuremill.run` fait tout cela, dans la même session Spark, dans un autre dossier. Il écrit en
# plus un rapport, reprend après une interruption et note pourquoi une image a été rejetée.
#
# Les deux utilisent le même réseau en float32, les mêmes pixels et la même standardisation ; les
# deux doivent donc expliquer la même variance, à 1e-6 près. Les durées sont celles d'une seule
# exécution sur peu d'images : l'essentiel est ce qu'un travail ne fait qu'une fois, et elles disent
# peu de ce que prendraient des millions d'images.

# %% [code] compare
started = time.perf_counter()
outcome = featuremill.run(
    featuremill.RunConfig(
        source,
        f"{results}/run",
        n_components=kept,
        model=model,
        weights=WEIGHTS or None,
        precision="fp32",
    ),
    spark=spark,
)
run_seconds = time.perf_counter() - started
print(outcome.record.ledger)

by_run = outcome.pca.explained_variance_ratio_
features_of_run = featuremill.load_features(outcome.destination).sort_values("path")
ours = features.select("path", "features").toPandas().sort_values("path")
difference = np.abs(np.stack(features_of_run["features"]) - np.stack(ours["features"])).max()

lines = [(SAY["spectrum"].format(n + 1), explained[n], by_run[n]) for n in range(min(5, kept))]
lines.append((SAY["sum"].format(kept), held[kept - 1], by_run.sum()))
head, one, two, apart = SAY["table"]
print(f"\n{head:32}{one:>16}{two:>18}{apart:>12}")
for what, first, second in lines:
    print(f"{what:32}{first:16.8f}{second:18.8f}{abs(first - second):12.1e}")
seconds = outcome.record.seconds
times = (
    (SAY["extract"], extract_seconds, seconds["extract"]),
    (SAY["reduce"], reduce_seconds, seconds["reduce"] + seconds["write"]),
    (SAY["whole"], extract_seconds + reduce_seconds, run_seconds),
)
for what, first, second in times:
    print(f"{what:32}{first:16.1f}{second:18.1f}")
print(f"\n{SAY['largest']} {difference:.1e}")
assert difference < 1e-3
assert np.allclose(explained[:kept], by_run, rtol=0, atol=1e-6)

# %% [markdown] data en
# ## 8. Where the data lies
#
# With `s3://` addresses, images, features and results stay in one bucket in one region. For images
# of people, choose a region in the European Union (`eu-west-1`, `eu-west-3`, …) to keep them under
# the GDPR: `featuremill cloud deploy` refuses other regions unless told otherwise, and encrypts the
# bucket. Keys come from a profile or from the role of the machine. No cell of this notebook holds
# one.

# %% [markdown] data fr
# ## 8. Où sont les données
#
# Avec des adresses `s3://`, les images, les *features* et les résultats restent dans un seul
# bucket, dans une seule région. Pour des images de personnes, choisissez une région de l'Union
# européenne (`eu-west-1`, `eu-west-3`, …), afin de respecter le RGPD : `featuremill cloud deploy`
# refuse les autres régions sauf demande explicite, et chiffre le bucket. Les clés viennent d'un
# profil ou du rôle de la machine. Aucune cellule de ce notebook n'en contient.

# %% [code] files
for folder in ("features", "reduced", "csv"):
    parts = spark.read.format("binaryFile").load(f"{results}/{folder}/part-*").select("length")
    count, size = parts.agg(F.count("*"), F.sum("length")).first()
    print(f"{folder:10}{count:4} files {size / 1e6:8.2f} MB")

# %% [markdown] emr en
# ## On EMR
#
# A cluster cannot see your folders: set `SOURCE` to `s3://BUCKET/input` (what `featuremill cloud
# upload` filled) and `DESTINATION` to `s3://BUCKET/results/notebook`. BUCKET is what `featuremill
# cloud status` shows. `WEIGHTS` is a file on the driver.
#
# - **JupyterHub on a cluster.** `featuremill cloud cluster up` starts it and puts this notebook
#   there; `featuremill cloud notebook` opens it. Choose the kernel *PySpark*: it has a session
#   `spark`, and featuremill is installed on every node. Leave the text below the title as it is.
# - **EMR Studio on such a cluster.** Upload this file to a workspace, attach the cluster and choose
#   the kernel *PySpark*.
# - **EMR Studio on EMR Serverless.** Nothing is installed there. Turn the text below the title,
#   `%%configure …`, into a code cell (select it, key <kbd>Y</kbd>), write your bucket and the
#   archive below `code/` that `featuremill cloud package` made into it, and run it before all
#   others.
# - **One machine.** `featuremill cloud server up` starts JupyterLab with this notebook and a local
#   Spark.
#
# On EMR a *PySpark* notebook runs on the cluster: Livy takes each cell there and brings text and
# figures back. Clusters and machines cost money until they end: `featuremill cloud cluster down`,
# `featuremill cloud server down`.
#
# The notebook has been executed on one machine with a local Spark. It has not been run on a real
# EMR cluster, on Databricks or on Colab.

# %% [markdown] emr fr
# ## Sur EMR
#
# Un cluster ne voit pas vos dossiers : donnez à `SOURCE` la valeur `s3://BUCKET/input` (rempli par
# `featuremill cloud upload`) et à `DESTINATION` la valeur `s3://BUCKET/results/notebook`. BUCKET
# est celui qu'affiche `featuremill cloud status`. `WEIGHTS` est un fichier du driver.
#
# - **JupyterHub sur un cluster.** `featuremill cloud cluster up` le démarre et y dépose ce
#   notebook ; `featuremill cloud notebook` l'ouvre. Choisissez le noyau *PySpark* : il a une
#   session `spark`, et featuremill est installé sur chaque nœud. Laissez tel quel le texte sous le
#   titre.
# - **EMR Studio sur un tel cluster.** Importez ce fichier dans un espace de travail, attachez-y le
#   cluster et choisissez le noyau *PySpark*.
# - **EMR Studio sur EMR Serverless.** Rien n'y est installé. Transformez le texte sous le titre,
#   `%%configure …`, en cellule de code (sélectionnez-le, touche <kbd>Y</kbd>), inscrivez-y votre
#   bucket et l'archive que `featuremill cloud package` a placée sous `code/`, et exécutez-la avant
#   toutes les autres.
# - **Une seule machine.** `featuremill cloud server up` démarre JupyterLab avec ce notebook et un
#   Spark local.
#
# Sur EMR, un notebook *PySpark* s'exécute sur le cluster : Livy y porte chaque cellule et en
# rapporte textes et figures. Clusters et machines coûtent de l'argent jusqu'à leur arrêt :
# `featuremill cloud cluster down`, `featuremill cloud server down`.
#
# Ce notebook a été exécuté sur une seule machine, avec un Spark local. Il n'a pas été exécuté sur
# un vrai cluster EMR, ni sur Databricks, ni sur Colab.

# %% [code] close
weights.destroy()
features.unpersist()
if own_session:  # a session that was there already goes on
    spark.stop()
