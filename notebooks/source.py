# The source of both notebooks: code once, text in English and in French under the same name.
# After a change: python scripts/notebooks.py

# %% [markdown] start en
# # From a folder of images to principal components, step by step
#
# This notebook does by hand what `featuremill run` does in one command, so that you can see every
# part of it: list the images, turn each into 1,280 numbers with a neural network on all cores of a
# machine or a cluster, and reduce these numbers with a principal component analysis (PCA). At the
# end the command runs too, and both must give the same numbers.
#
# The same file runs on a laptop, on Colab, in JupyterHub on an EMR cluster and in EMR Studio. As it
# stands it draws its own pictures and needs no network: choose *Run all*. It takes about a minute.
#
# **On EMR, read [the last section](#On-EMR) first.**

# %% [markdown] start fr
# # D'un dossier d'images à ses composantes principales, pas à pas
#
# Ce notebook fait à la main ce que `featuremill run` fait en une commande, pour que chaque étape
# soit visible : lister les images, transformer chacune en 1 280 nombres avec un réseau de neurones
# sur tous les cœurs d'une machine ou d'un cluster, puis réduire ces nombres par une analyse en
# composantes principales (ACP, *PCA* dans le code). À la fin, la commande est lancée elle aussi :
# les deux doivent donner les mêmes nombres.
#
# Le même fichier s'exécute sur un portable, sur Colab, dans JupyterHub sur un cluster EMR et dans
# EMR Studio. Tel quel, il dessine ses propres images et n'a pas besoin de réseau : choisissez *Tout
# exécuter*. Il faut environ une minute. Le code et ses commentaires sont en anglais.
#
# **Sur EMR, lisez d'abord [la dernière section](#Sur-EMR).**

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
# ## What to work on
#
# `SOURCE` and `DESTINATION` are folders or `s3://bucket/prefix`. The parent folder of an image is
# its label.

# %% [markdown] choose fr
# ## Sur quoi travailler
#
# `SOURCE` et `DESTINATION` sont des dossiers ou des `s3://bucket/préfixe`. Le dossier parent d'une
# image est son étiquette.

# %% [code] parameters tags=parameters
SOURCE = ""  # empty: pictures are drawn
DESTINATION = "featuremill-notebook"
CLASSES = ()  # names of the classes to take; empty: all
MODEL = "embedded"  # comes with featuremill; "mobilenetv2" is downloaded once (9.4 MB)
COMPONENTS = 50
MASTER = "local[*]"  # where there is no Spark session yet
DRAWN_CLASSES, DRAWN_PER_CLASS = 8, 40

# %% [code] needed
import importlib.util

# nothing is fetched here: what is installed comes from lock files with hashes
needed = ("featuremill", "matplotlib", "pyspark")
if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
    raise ModuleNotFoundError(
        f"{' and '.join(missing)} cannot be imported here. `featuremill cloud server up`,"
        " `featuremill cloud cluster up` and the container of docs/docker.md have all of it;"
        " in a clone of featuremill, `pip install '.[spark]' matplotlib` installs it."
    )

# %% [markdown] session en
# A session of Spark that is there already, as on EMR, is used and left as it is; elsewhere one is
# started. `%matplot` is how Livy, which stands between a notebook and an EMR cluster, shows a
# figure. Jupyter shows it by itself, so there the command is given nothing to do.

# %% [markdown] session fr
# Si une session Spark existe déjà, comme sur EMR, elle est utilisée et laissée telle quelle ;
# sinon, on en démarre une. `%matplot` est la commande par laquelle Livy, l'intermédiaire entre un
# notebook et un cluster EMR, affiche une figure. Jupyter l'affiche de lui-même : la commande n'y
# fait rien.

# %% [code] session
import json
import os
import pickle
import secrets
import socket
import time
from collections import Counter
from contextlib import ExitStack
from itertools import chain

import matplotlib.pyplot as plt
import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import functions as sql

import featuremill
from featuremill.dataset import csv_files, ledger, schemas, tables
from featuremill.dataset.model_files import NETWORK
from featuremill.dataset.schemas import FEATURES_FOLDER, feature_writer
from featuremill.images import decode, synth
from featuremill.images.decode import Limits
from featuremill.images.sandbox import InProcess
from featuremill.models import registry
from featuremill.models.engines import open_engine
from featuremill.pca import reduce, saved
from featuremill.pca.components import PCA, Moments, components_needed
from featuremill.storage import open_store
from featuremill.storage.listing import Listing, Reference, Rejection, Selection
from featuremill.workers.spark import Attempt, slots, spark_session
from featuremill.workflows.run.chunks import task_count
from featuremill.workflows.run.task import Task, rejected_rows, run_task

jupyter = globals().get("get_ipython")
if jupyter:
    jupyter().register_magic_function(lambda _: None, magic_name="matplot")

open_sessions = ExitStack()
spark = open_sessions.enter_context(spark_session(MASTER, globals().get("spark")))
print(f"featuremill {featuremill.__version__}, Spark {spark.version}, {slots(spark)} task slots")

# %% [markdown] look en
# ## 1. Look at the data
#
# Every execution gets a folder of its own below `DESTINATION`. A *store* is a folder or a bucket:
# the same few methods (`list`, `fetch`, `write`, …) work on both, and only the address decides.

# %% [markdown] look fr
# ## 1. Regarder les données
#
# Chaque exécution a son propre dossier sous `DESTINATION`. Un *store* est un dossier ou un bucket :
# les mêmes quelques méthodes (`list`, `fetch`, `write`, …) valent pour les deux, et seule l'adresse
# décide.

# %% [code] stores
run = ledger.new_run_id()
base = DESTINATION.rstrip("/")
source = open_store(SOURCE or f"{base}/{run}/pictures")
destination = open_store(f"{base}/{run}/steps")

if not SOURCE:
    drawing = synth.SynthConfig(classes=DRAWN_CLASSES, per_class=DRAWN_PER_CLASS, seed=1)
    for kind, name in enumerate(synth.class_names(DRAWN_CLASSES)):
        for number in range(DRAWN_PER_CLASS):
            picture = synth.encode(synth.draw(kind, number, drawing), "jpeg")
            source.write(f"{name}/{name}_{number:03d}.jpg", picture)
print(f"images   {source.url}\nresults  {destination.url}")

# %% [markdown] listing en
# Listing opens no image. What remains is a *reference*: path, label, version (it changes when the
# content does) and size. References are all that Spark will ever move, some hundred bytes an image.

# %% [markdown] listing fr
# Lister n'ouvre aucune image. Il en reste une *référence* : chemin, étiquette, version (elle change
# avec le contenu) et taille. Spark ne transportera jamais rien d'autre, une centaine d'octets par
# image.

# %% [code] listing
listing = Listing(source, Selection(classes=tuple(CLASSES)))
found = list(listing)
unlisted = [item for item in found if isinstance(item, Rejection)]
references = spark.createDataFrame(
    [tuple(item) for item in found if isinstance(item, Reference)],
    "path string, label string, version string, bytes long",
)
smallest, largest = sql.min("bytes").alias("smallest"), sql.max("bytes").alias("largest")
mean = sql.round(sql.avg("bytes")).cast("int").alias("mean")
per_class = references.groupBy("label").agg(sql.count("*").alias("images"), smallest, mean, largest)
per_class.orderBy("label").show(20, truncate=False)

# %% [code] pictures
shown, each = sorted(listing.labels)[:8], 4
figure, axes = plt.subplots(each, len(shown), figsize=(9, 4.8), squeeze=False)
for column, label in zip(axes.T, shown, strict=True):
    some = [item for item in found if isinstance(item, Reference) and item.label == label]
    for axis, reference in zip(column, some[:each], strict=False):
        axis.imshow(decode.decode(source.fetch(reference.path).data, Limits()).pixels)
    column[0].set_title(label.replace("-", "\n").replace(" ", "\n"), fontsize=9)
for axis in axes.flat:
    axis.axis("off")
figure.tight_layout(pad=0.4)
# %matplot plt

# %% [markdown] network en
# ## 2. One image through the network
#
# MobileNetV2 learned to tell a thousand kinds of things apart in photographs. We do not want its
# answer, but what it computes just before: 1,280 numbers that say what is to be seen, and that are
# alike for things that look alike. The network `embedded` is a smaller one that learned to give the
# same numbers.
#
# An image is decoded to red, green and blue, and resized to what the network takes. The first
# operation inside the network then maps 0…255 to −1…1.

# %% [markdown] network fr
# ## 2. Une image à travers le réseau
#
# MobileNetV2 a appris à distinguer mille sortes d'objets sur des photographies. Ce n'est pas sa
# réponse qui nous intéresse, mais ce qu'il calcule juste avant : 1 280 nombres qui disent ce que
# l'on voit, et qui se ressemblent quand les objets se ressemblent. Le réseau `embedded` en est un
# plus petit, qui a appris à donner les mêmes nombres.
#
# L'image est décodée en rouge, vert et bleu, puis ramenée à la taille qu'attend le réseau. La
# première opération du réseau envoie ensuite 0…255 sur −1…1.

# %% [code] pixels
network = registry.load(MODEL)
example = next(item for item in found if isinstance(item, Reference))
decoded = decode.decode(source.fetch(example.path).data, Limits())
pixels = network.preprocessing.apply(decoded.pixels)
print(f"{example.label}: {example.bytes:,} bytes -> {decoded.pixels.shape} -> {pixels.shape}")

# %% [markdown] layers en
# The graph normally has one output, `features`. Here every convolution's result becomes an output
# as well, and ONNX Runtime hands them all over. Going down, the picture gets smaller and deeper:
# fewer positions, more channels, each of which answers to something more complex.

# %% [markdown] layers fr
# Le graphe n'a normalement qu'une sortie, `features`. Ici, le résultat de chaque convolution
# devient lui aussi une sortie, et ONNX Runtime nous les remet toutes. Au fil des couches, l'image
# devient plus petite et plus profonde : moins de positions, plus de canaux, dont chacun réagit à
# quelque chose de plus complexe.

# %% [code] layers
graph = onnx.load_from_string(network.onnx)
layers = [n.output[0] for n in graph.graph.node if n.op_type in ("Relu", "Clip")] + ["pooled"]
for layer in layers:
    graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(layer))
inference = onnxruntime.InferenceSession(graph.SerializeToString())
wanted = [*layers, "features"]
answers = inference.run(wanted, {"pixels": pixels[np.newaxis]})
results = dict(zip(wanted, answers, strict=True))

print(f"{'layer':24}{'channels x height x width':>28}{'numbers':>12}{'of them zero':>14}")
for layer, values in results.items():
    shape = " x ".join(str(length) for length in values.shape[1:])
    print(f"{layer:24}{shape:>28}{values.size:12,}{np.mean(values == 0):14.0%}")

# %% [code] maps
picked = [layers[0], layers[len(layers) // 3], layers[2 * len(layers) // 3], layers[-2]]
figure, axes = plt.subplots(len(picked), 8, figsize=(9, 4.8))
for row, layer in zip(axes, picked, strict=True):
    row[0].imshow(pixels)
    row[0].set_title(layer, fontsize=9, loc="left")
    # the channels that differ most from place to place
    channels = results[layer][0]
    busiest = np.argsort(-channels.std(axis=(1, 2)))[: len(row) - 1]
    for axis, channel in zip(row[1:], busiest, strict=True):
        axis.imshow(channels[channel], cmap="magma")
for axis in axes.flat:
    axis.axis("off")
figure.tight_layout(pad=0.4)
# %matplot plt

# %% [markdown] pooled en
# The last maps are averaged over their positions: one number a channel, wherever in the picture it
# was. These are the features. The engine that the workers will use must give the same.

# %% [markdown] pooled fr
# Les dernières cartes sont moyennées sur leurs positions : un nombre par canal, où que ce fût dans
# l'image. Ce sont les *features*. Le moteur qu'utiliseront les workers doit donner la même chose.

# %% [code] pooled
engine = open_engine(network, "fp32")
features_of_example = engine.embed(pixels[np.newaxis])[0]
assert np.allclose(features_of_example, results["features"][0], atol=1e-4)
assert np.allclose(features_of_example, results[layers[-2]][0].mean(axis=(1, 2)), atol=1e-4)
print(f"{engine.name}: {len(features_of_example):,} features, {features_of_example[:6].round(3)} …")

# %% [markdown] broadcast en
# ## 3. The broadcast
#
# Every worker needs the network. Left inside the function that Spark sends out, it would travel
# again with every task. As a *broadcast* it travels once to each executor, in pieces that executors
# also pass on to each other, and all tasks there read that one copy.

# %% [markdown] broadcast fr
# ## 3. Le broadcast
#
# Chaque worker a besoin du réseau. Laissé dans la fonction que Spark envoie, il voyagerait de
# nouveau avec chaque tâche. En *broadcast*, il voyage une seule fois vers chaque exécuteur, par
# morceaux que les exécuteurs se transmettent aussi entre eux, et toutes les tâches y lisent cette
# unique copie.

# %% [code] broadcast
network_everywhere = spark.sparkContext.broadcast(network)
in_millions = len(pickle.dumps(network)) / 1e6
tasks = task_count(references.count(), slots(spark))
print(f"{in_millions:.1f} MB once to each executor, instead of {tasks} x {in_millions:.1f} MB")

# %% [markdown] compile en
# Preparing the network for a processor costs time too. `open_engine` does it once for each worker
# process and keeps the result there. Each row below is a task: the first in each process pays, the
# others find it done.

# %% [markdown] compile fr
# Préparer le réseau pour un processeur prend aussi du temps. `open_engine` le fait une fois par
# processus et y garde le résultat. Chaque ligne ci-dessous est une tâche : la première de chaque
# processus paie, les autres trouvent le travail fait.


# %% [code] compile
def time_to_open(batches):
    for batch in batches:
        start = time.perf_counter()
        open_engine(network_everywhere.value, "fp32")
        seconds = time.perf_counter() - start
        worker = f"{socket.gethostname()}:{os.getpid()}"
        for task in batch["id"].to_pylist():
            row = {"task": task, "worker": worker, "milliseconds": round(1e3 * seconds, 2)}
            yield pa.RecordBatch.from_pylist([row])


numbers = spark.range(0, 3 * slots(spark), 1, 3 * slots(spark))
opened = numbers.mapInArrow(time_to_open, "task long, worker string, milliseconds double")
opened.orderBy("worker", "task").show(12, truncate=False)

# %% [markdown] job en
# ## 4. The distributed job
#
# The usual way reads all images through Java (`binaryFile`), copies them to Python for a
# `pandas_udf`, and copies the features back to Java, which writes them. Here each task gets
# references, fetches the images itself (many at once, while others are computed), embeds them in
# batches of eight, and writes its Parquet file straight to the destination. Only a *receipt*
# returns: the file's name, how many rows, what was rejected and why.
#
# **References to tasks.** Four tasks for each slot even out what is slow; a task should not be so
# small that starting it counts.

# %% [markdown] job fr
# ## 4. Le travail distribué
#
# La manière habituelle lit toutes les images par Java (`binaryFile`), les copie vers Python pour
# une `pandas_udf`, puis recopie les *features* vers Java, qui les écrit. Ici, chaque tâche reçoit
# des références, va chercher les images elle-même (plusieurs à la fois, pendant que d'autres sont
# calculées), les passe au réseau par lots de huit, et écrit son fichier Parquet directement à
# destination. Il n'en revient qu'un *reçu* : le nom du fichier, le nombre de lignes, ce qui a été
# rejeté et pourquoi.
#
# **Des références aux tâches.** Quatre tâches par cœur compensent les lenteurs ; une tâche ne doit
# pas être si petite que son démarrage compte.

# %% [code] repartition
shares = references.repartition(tasks)
shares.groupBy(sql.spark_partition_id().alias("task")).count().orderBy("task").show(8)

# %% [markdown] embed en
# **The function that runs on the workers.** `mapInArrow` hands it the references of one partition
# in Arrow's format. What it uses from outside travels with it: a few kilobytes, and a pointer
# to the broadcast. An image that cannot be read is not an error but a row with a reason.

# %% [markdown] embed fr
# **La fonction qui s'exécute sur les workers.** `mapInArrow` lui remet les références d'une
# partition au format Arrow. Ce qu'elle utilise du dehors voyage avec elle : quelques kilo-octets,
# et un pointeur vers le broadcast. Une image illisible n'est pas une erreur, mais une ligne avec un
# motif.


# %% [code] embed
task = Task(
    source=source,
    destination=destination,
    limits=Limits(),
    preprocessing=network.preprocessing,
    model_id=network.model_id("fp32"),
    run=run,
    every_pixel=True,
)


def embed(batches):
    rows = chain.from_iterable(batch.to_pylist() for batch in batches)
    # the attempt and some chance in the name: a task tried again never writes to the same file
    context = TaskContext.get()
    name = f"status=ok/{run}-{context.partitionId():04d}-{context.attemptNumber()}"
    name = f"{name}-{secrets.token_hex(4)}.parquet"
    engine = open_engine(network_everywhere.value, "fp32")
    with InProcess(task.limits) as decoder:
        receipt = run_task(task, (Reference(**row) for row in rows), name, engine, decoder)
    answer = {
        "name": receipt.name,
        "rows": receipt.rows,
        "size": receipt.size,
        "seconds": receipt.seconds,
        "rejections": pickle.dumps(receipt.rejections),
    }
    yield pa.RecordBatch.from_pylist([answer])


# %% [markdown] collect en
# Until here nothing was computed. `collect()` starts the job, and must be called once only: with a
# second call Spark would embed everything again.

# %% [markdown] collect fr
# Jusqu'ici, rien n'a été calculé. `collect()` lance le travail, et ne doit être appelé qu'une fois
# : à un second appel, Spark recalculerait tout.

# %% [code] collect
started = time.perf_counter()
receipts = shares.mapInArrow(
    embed, "name string, rows long, size long, seconds double, rejections binary"
).collect()
seconds = time.perf_counter() - started

embedded = sum(receipt.rows for receipt in receipts)
rejections = unlisted + [bad for r in receipts for bad in pickle.loads(r.rejections)]
for receipt in receipts[:4]:
    print(f"{receipt.name}: {receipt.rows} rows, {receipt.size:,} bytes, {receipt.seconds:.2f} s")
print(f"… {embedded:,} embedded, {len(rejections)} rejected, {embedded / seconds:,.0f} images/s")

# %% [markdown] commit en
# **The commit.** The files lie at the destination, and still nobody sees them: a *Delta* table
# holds the files that its log names. One entry in the log makes all of them visible at once. The
# entry carries the run's name and a number, so that the same commit cannot happen twice, not even
# after a crash between writing and noting it. That is *exactly once*.

# %% [markdown] commit fr
# **Le commit.** Les fichiers sont à destination, et pourtant personne ne les voit : une table
# *Delta* contient les fichiers que nomme son journal. Une seule entrée du journal les rend visibles
# tous ensemble. L'entrée porte le nom de l'exécution et un numéro : le même commit ne peut donc pas
# avoir lieu deux fois, pas même après une panne entre l'écriture et sa notification. C'est le
# *exactly once* : exactement une fois.

# %% [code] commit
table = tables.features_table(destination)
table.create()
files = [
    tables.DataFile(receipt.name, receipt.rows, receipt.size, {"status": "ok"})
    for receipt in receipts
    if receipt.rows
]
if rejections:
    sink = pa.BufferOutputStream()
    with feature_writer(sink) as writer:
        writer.write_table(rejected_rows(rejections, task.model_id, run))
    data, name = sink.getvalue().to_pybytes(), f"status=rejected/{run}.parquet"
    destination.write(f"{FEATURES_FOLDER}/{name}", data)
    files.append(tables.DataFile(name, len(rejections), len(data), {"status": "rejected"}))

table.commit(run, 0, files)
version = table.version()
table.commit(run, 0, files)  # as if the answer to the first had been lost
assert table.version() == version
assert sum(file.rows for file in table.files(status="ok")) == embedded

# %% [markdown] ledger en
# **The ledger.** Every listed image must have ended somewhere, and in one place only.

# %% [markdown] ledger fr
# **Les comptes.** Chaque image listée doit avoir fini quelque part, et à un seul endroit.

# %% [code] ledger
books = ledger.Ledger(
    listed=listing.listed,
    embedded=embedded,
    rejected=len(rejections),
    skipped=listing.skipped.total(),
)
books.check()
print(books)
print(Counter(f"{bad.stage}: {ledger.kind_of(bad.reason)}" for bad in rejections) or "no rejects")

# %% [markdown] moments en
# ## 5. The principal components
#
# A PCA needs the mean of each feature and how each pair of features varies together: 1,280 means
# and 1,280 × 1,280 sums, whether there are a hundred images or a hundred million. These *moments*
# can be computed in parts and merged, in any order. So one pass over the table is enough, every
# task returns 6.6 MB, and no machine ever holds all features.
#
# The function gets names of files, and reads them where they are.

# %% [markdown] moments fr
# ## 5. Les composantes principales
#
# Une ACP a besoin de la moyenne de chaque *feature* et de la façon dont elles varient deux à deux :
# 1 280 moyennes et 1 280 × 1 280 sommes, qu'il y ait cent images ou cent millions. Ces *moments* se
# calculent par morceaux et se fusionnent, dans n'importe quel ordre. Une seule passe sur la table
# suffit donc, chaque tâche renvoie 6,6 Mo, et aucune machine ne détient jamais toutes les
# *features*.
#
# La fonction reçoit des noms de fichiers, et les lit là où ils sont.


# %% [code] moments
def sum_up(batches):
    total = Moments.empty(network_everywhere.value.n_features)
    for name in chain.from_iterable(batch["name"].to_pylist() for batch in batches):
        for rows in schemas.read_parquet(destination, f"{FEATURES_FOLDER}/{name}", ["features"]):
            block = rows["features"].flatten().to_numpy().reshape(len(rows), -1)  # (rows, 1280)
            total = total.merge(Moments.of(block))
    yield pa.RecordBatch.from_pylist([{"moments": total.to_bytes()}])


names = spark.createDataFrame(
    [(file.name,) for file in table.files(status="ok")], "name string"
).repartition(slots(spark))
moments = Moments.empty(network.n_features)
for row in names.mapInArrow(sum_up, "moments binary").toLocalIterator():
    moments = moments.merge(Moments.from_bytes(bytes(row.moments)))
print(f"{moments.n:,} rows, {len(moments.to_bytes()) / 1e6:.1f} MB")

# %% [markdown] same en
# The parts, merged, are what one gets from all rows at once; here they fit into memory, so that we
# can look. (`run` merges on the workers too, in a tree, so that the driver never holds many parts.)

# %% [markdown] same fr
# Les morceaux fusionnés valent ce que l'on obtient de toutes les lignes à la fois ; ici, elles
# tiennent en mémoire, et l'on peut vérifier. (`run` fusionne aussi sur les workers, en arbre : le
# driver ne détient jamais beaucoup de morceaux.)

# %% [code] same
columns = ["path", "label", "features"]
parts = [part for file in table.files(status="ok") for part in table.read(file, columns)]
rows = pa.Table.from_batches(parts).sort_by("path")
paths, labels = rows["path"].to_pylist(), np.array(rows["label"].to_pylist())
features = rows["features"].combine_chunks().flatten().to_numpy().reshape(len(paths), -1)

centred = features - features.mean(axis=0, dtype=np.float64)
assert np.allclose(moments.scatter, centred.T @ centred, rtol=1e-6, atol=1e-6)

# %% [markdown] standardise en
# **Standardise.** Some features vary ten times as much as others, and more. Left so, the components
# would be about those few. Each feature is therefore divided by its standard deviation; one that
# never varies stays zero.

# %% [markdown] standardise fr
# **Standardiser.** Certaines *features* varient dix fois plus que d'autres, et davantage. En
# l'état, les composantes ne parleraient que de celles-là. Chacune est donc divisée par son
# écart-type ; celle qui ne varie jamais reste nulle.

# %% [code] standardise
deviation = np.sqrt(moments.variance())
figure, axis = plt.subplots(figsize=(7, 2.6))
axis.hist(np.log10(deviation[deviation > 0]), bins=60, color="#0072b2")
axis.set_xlabel("standard deviation of a feature (power of ten)")
axis.set_ylabel("features")
axis.set_title(f"{np.count_nonzero(deviation == 0)} of {len(deviation):,} never vary")
figure.tight_layout()
# %matplot plt

# %% [markdown] fit en
# **Fit.** From here on the number of images plays no part: the eigenvectors of a 1,280 × 1,280
# matrix, in about a second. There are at most as many components as images less one.
#
# **How many?** The curve shows what share of the variance the first components hold. 50, 80 and 256
# are usual numbers; 90 % is a usual goal.

# %% [markdown] fit fr
# **Ajuster.** À partir d'ici, le nombre d'images ne compte plus : ce sont les vecteurs propres
# d'une matrice 1 280 × 1 280, en une seconde environ. Il y a au plus autant de composantes que
# d'images, moins une.
#
# **Combien ?** La courbe montre quelle part de la variance tiennent les premières composantes. 50,
# 80 et 256 sont des nombres usuels ; 90 % est un but usuel.

# %% [code] fit
pca = PCA.fit(moments, n_components=COMPONENTS)
held = np.cumsum(pca.spectrum_)  # of every component there is, kept or not
marks = sorted({k for k in (pca.n_components_, 50, 80, 256) if k <= len(held)})
for k in marks:
    print(f"{k:4} components hold {held[k - 1]:6.2%} of the variance")
for share in (0.90, 0.95, 0.99):
    print(f"{share:.0%} needs {components_needed(pca.spectrum_, share)} components")

# %% [code] scree
figure, (scree, curve) = plt.subplots(1, 2, figsize=(9, 3.4))
first = pca.spectrum_[:30]
scree.bar(np.arange(1, len(first) + 1), 100 * first, color="#0072b2")
scree.set(xlabel="component", ylabel="% of the variance")
curve.plot(np.arange(1, len(held) + 1), 100 * held, color="#0072b2")
for k in marks:
    curve.plot(k, 100 * held[k - 1], "o", color="#d55e00")
    curve.annotate(k, (k, 100 * held[k - 1]), (6, -14), textcoords="offset points")
curve.axhline(90, color="grey", linestyle=":", linewidth=1)
curve.set(xlabel="components", ylabel="% of the variance held", ylim=(0, 104))
figure.tight_layout()
# %matplot plt

# %% [markdown] project en
# **Project.** The second pass: the PCA, broadcast in its turn, turns 1,280 numbers into
# `COMPONENTS` on the workers. Receipts and one commit, as before.

# %% [markdown] project fr
# **Projeter.** C'est la seconde passe : l'ACP, diffusée à son tour en broadcast, ramène sur les
# workers 1 280 nombres à `COMPONENTS`. Des reçus et un commit, comme avant.


# %% [code] project
pca_everywhere = spark.sparkContext.broadcast(pca.to_safetensors())


def project(batches):
    context = TaskContext.get()
    attempt = Attempt(context.partitionId(), context.attemptNumber())
    projection = reduce.ProjectFiles(destination, task.model_id, run, pca_everywhere)
    wanted = [name for batch in batches for name in batch["name"].to_pylist()]
    written = json.loads(projection(json.dumps(wanted).encode(), attempt))
    yield pa.RecordBatch.from_pylist([written])


written = names.mapInArrow(project, "name string, rows long, size long").collect()
reduced = tables.reduced_table(destination)
reduced.create()
reduced.commit(run, 0, [tables.DataFile(w.name, w.rows, w.size) for w in written if w.rows])
assert sum(file.rows for file in reduced.files()) == embedded

# %% [markdown] outputs en
# **Outputs.** The table as CSV, the fitted PCA (for images to come), the rejected images with their
# reasons, and which network it was.

# %% [markdown] outputs fr
# **Sorties.** La table en CSV, l'ACP ajustée (pour les images à venir), les images rejetées avec
# leurs motifs, et le réseau dont il s'agit.

# %% [code] outputs
description = network.description("fp32")
destination.write(NETWORK, json.dumps(description | {"replacing": False}).encode())
csv_files.write_matrix(destination, pca.n_components_)
csv_files.write_rejects(destination, task.model_id)
saved.save_model(destination, pca, description, run)
for line in destination.read("csv/reduced.csv").decode().splitlines()[:3]:
    print(line.removeprefix(f'"{source.url}/')[:90], "…")

# %% [markdown] see en
# ## 6. Look at the results
#
# Every image in the plane of the first two components. The network was told no label; that classes
# lie together is what it sees in the pictures.

# %% [markdown] see fr
# ## 6. Regarder les résultats
#
# Chaque image dans le plan des deux premières composantes. Le réseau n'a reçu aucune étiquette : si
# les classes se regroupent, c'est par ce qu'il voit dans les images.

# %% [code] plane
scores = pca.transform(features)  # (images, components)
figure, axis = plt.subplots(figsize=(8, 4.8))
colours = plt.get_cmap("tab10")
for number, label in enumerate(sorted(set(labels))[:20]):
    own = scores[labels == label]
    marker, colour = "o" if number < 10 else "^", colours(number % 10)
    axis.scatter(own[:, 0], own[:, min(1, own.shape[1] - 1)], s=16, marker=marker, color=colour)
    axis.scatter([], [], s=16, marker=marker, color=colour, label=label)
axis.set(xlabel="first component", ylabel="second component")
axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)
figure.tight_layout()
# %matplot plt

# %% [markdown] neighbours en
# Two components are for the eye. Neighbours are looked for in all that were kept: the images whose
# directions differ least (cosine). The image itself is on the left.

# %% [markdown] neighbours fr
# Deux composantes sont pour l'œil. Les voisins se cherchent dans toutes celles que l'on a gardées :
# ce sont les images dont les directions diffèrent le moins (cosinus). À gauche, l'image elle-même.


# %% [code] neighbours
def nearest_to(rows, vectors, count):
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units[rows] @ units.T  # (rows, images)
    cosines[np.arange(len(rows)), rows] = -1  # not itself
    best = np.argsort(-cosines, axis=1)[:, :count]
    return best, np.take_along_axis(cosines, best, axis=1)


queries = np.linspace(0, len(paths) - 1, 3).astype(int)
nearest, cosines = nearest_to(queries, scores, 7)
figure, axes = plt.subplots(len(queries), 8, figsize=(9, 4))
for row, query, near, cosine in zip(axes, queries, nearest, cosines, strict=True):
    for axis, image in zip(row, [query, *near], strict=False):
        axis.imshow(decode.decode(source.fetch(paths[image]).data, Limits()).pixels)
    for axis, likeness in zip(row[1:], cosine, strict=False):
        axis.set_title(f"{likeness:.2f}", fontsize=9)
    row[0].set_title(labels[query], fontsize=9)
for axis in axes.flat:
    axis.axis("off")
figure.tight_layout(pad=0.4)
# %matplot plt

# %% [markdown] cost en
# What does the reduction cost? For each image, is the nearest other one of the same class?

# %% [markdown] cost fr
# Que coûte la réduction ? Pour chaque image, la plus proche des autres est-elle de la même classe ?

# %% [code] cost
asked = np.arange(0, len(paths), 1 + len(paths) // 1000)  # some 1,000 of many
for what, vectors in ((f"{features.shape[1]:,} features", features), ("the PCA", scores)):
    nearest, _ = nearest_to(asked, vectors, 1)
    print(f"{what:15} {np.mean(labels[nearest[:, 0]] == labels[asked]):.1%}")

# %% [markdown] compare en
# ## 7. The same with one call
#
# `featuremill.run` does all of this, into another folder. It adds what a story leaves out: work in
# chunks that grow, each with its commit, so that a crash costs a minute; a second try, image by
# image, where a damaged one kills a worker; a lock on the destination; a report.

# %% [markdown] compare fr
# ## 7. La même chose en un appel
#
# `featuremill.run` fait tout cela, dans un autre dossier. Il y ajoute ce qu'un récit laisse de côté
# : un travail en tranches qui grandissent, chacune avec son commit, pour qu'une panne coûte une
# minute ; un second essai, image par image, quand une image abîmée tue un worker ; un verrou sur la
# destination ; un rapport.

# %% [code] compare
options = {
    "n_components": COMPONENTS,
    "model": MODEL,
    "precision": "fp32",
    "classes": tuple(CLASSES),
}
by_run = featuremill.run(
    featuremill.RunConfig(source.url, f"{base}/{run}/run", **options), spark=spark
)
print(by_run.record.ledger)

table_of_run = featuremill.load_features(by_run.destination).sort_values("path")
features_of_run = np.stack(list(table_of_run["features"]))
assert list(table_of_run["path"]) == paths
assert np.allclose(features_of_run, features, atol=1e-4)
assert np.allclose(by_run.pca.spectrum_[:COMPONENTS], pca.spectrum_[:COMPONENTS], atol=1e-6)
print(f"largest difference of a feature: {np.abs(features_of_run - features).max():.1e}")

# %% [markdown] again en
# And where our steps ended, `run` finds nothing left to do: same table, same network, same PCA.

# %% [markdown] again fr
# Et là où nos étapes ont abouti, `run` ne trouve plus rien à faire : même table, même réseau, même
# ACP.

# %% [code] again
again = featuremill.run(featuremill.RunConfig(source.url, destination.url, **options), spark=spark)
print(again.record.ledger)
assert again.record.ledger.embedded == 0
assert again.record.ledger.already_done == embedded
print(f"report   {again.report}")

# %% [markdown] s3 en
# ## 8. Writing to S3
#
# There is no step for it: with `DESTINATION = "s3://bucket/prefix"` the workers already wrote
# there, each its own files, and nothing went through the driver or a disk. An object in S3 appears
# whole or not at all, and the log of the Delta table says which objects count, so a reader never
# sees half a commit.
#
# Keys come from where AWS's own tools take them (a profile, the role of the machine). They are in
# no cell of this notebook, and in nothing that is sent to workers.

# %% [markdown] s3 fr
# ## 8. Écrire dans S3
#
# Il n'y a pas d'étape pour cela : avec `DESTINATION = "s3://bucket/préfixe"`, les workers y ont
# déjà écrit, chacun ses fichiers, et rien n'est passé par le driver ni par un disque. Un objet de
# S3 apparaît entier ou pas du tout, et le journal de la table Delta dit quels objets comptent : un
# lecteur ne voit donc jamais la moitié d'un commit.
#
# Les clés viennent de là où les outils d'AWS les prennent (un profil, le rôle de la machine). Elles
# ne figurent dans aucune cellule de ce notebook, ni dans rien de ce qui est envoyé aux workers.

# %% [code] s3
print(destination.url)
for folder in ("features", "reduced", "csv", "model", "runs"):
    there = list(destination.names(folder))
    size = sum(destination.size(name) or 0 for name in there)
    print(f"  {folder:10}{len(there):4} files {size / 1e6:8.2f} MB")

# %% [markdown] emr en
# ## On EMR
#
# A cluster cannot see your folders: set `DESTINATION` to `s3://BUCKET/results/notebook` (and
# `SOURCE`, or leave it empty: the pictures are then drawn into the bucket). BUCKET is what
# `featuremill cloud status` shows.
#
# - **JupyterHub on a cluster.** `featuremill cloud cluster up` starts it and puts this notebook
#   there; `featuremill cloud notebook` opens it. Take the kernel *PySpark*: it has a session
#   `spark`, and featuremill is installed on every node. Leave the text below the title as it is.
# - **EMR Studio on such a cluster.** Upload this file to a workspace, attach the cluster, take the
#   kernel *PySpark*.
# - **EMR Studio on EMR Serverless.** Nothing is installed there. The text below the title,
#   `%%configure …`, runs nowhere as it stands. Make it a code cell (select it, key <kbd>Y</kbd>),
#   write into it your bucket and the archive below `code/` that `featuremill cloud package` made,
#   and run it before all others.
# - **One machine.** `featuremill cloud server up` starts JupyterLab with this notebook and a local
#   Spark.
#
# On EMR a *PySpark* notebook runs on the cluster: Livy takes each cell there and brings text and
# figures back. Clusters and machines cost money until they end: `featuremill cloud cluster down`,
# `featuremill cloud server down`.

# %% [markdown] emr fr
# ## Sur EMR
#
# Un cluster ne voit pas vos dossiers : donnez à `DESTINATION` la valeur
# `s3://BUCKET/results/notebook` (et indiquez `SOURCE`, ou laissez-la vide : les images sont alors
# dessinées dans le bucket). BUCKET est celui qu'affiche `featuremill cloud status`.
#
# - **JupyterHub sur un cluster.** `featuremill cloud cluster up` le démarre et y dépose ce notebook
#   ; `featuremill cloud notebook` l'ouvre. Prenez le noyau *PySpark* : il a une session `spark`, et
#   featuremill est installé sur chaque nœud. Laissez tel quel le texte sous le titre.
# - **EMR Studio sur un tel cluster.** Importez ce fichier dans un espace de travail, attachez-y le
#   cluster, prenez le noyau *PySpark*.
# - **EMR Studio sur EMR Serverless.** Rien n'y est installé. Le texte sous le titre, `%%configure
#   …`, ne s'exécute nulle part tel quel. Faites-en une cellule de code (sélectionnez-la, touche
#   <kbd>Y</kbd>), inscrivez-y votre bucket et l'archive sous `code/` que `featuremill cloud
#   package` a faite, et exécutez-la avant toutes les autres.
# - **Une seule machine.** `featuremill cloud server up` démarre JupyterLab avec ce notebook et un
#   Spark local.
#
# Sur EMR, un notebook *PySpark* s'exécute sur le cluster : Livy y porte chaque cellule et en
# rapporte textes et figures. Clusters et machines coûtent de l'argent jusqu'à leur arrêt :
# `featuremill cloud cluster down`, `featuremill cloud server down`.

# %% [code] close
network_everywhere.destroy()
pca_everywhere.destroy()
open_sessions.close()  # ends only a session that this notebook started
