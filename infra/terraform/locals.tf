# What follows from the variables and the stack's outputs alone, so that it can be evaluated, and
# is, without the provider.

locals {
  # equal to featuremill's own list and to the one in the template
  eu_regions = ["eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3"]

  template = file(coalesce(
    var.template, "${path.module}/../../src/featuremill/cloud/stack/templates/featuremill.yaml"
  ))
  # with its comments it is longer than CloudFormation takes
  template_body = replace(local.template, "/(?m)^ *#.*\n/", "")

  parameters = {
    Architecture     = var.architecture
    ReleaseLabel     = var.release_label
    MaximumVcpu      = tostring(var.maximum_vcpu)
    IdleMinutes      = tostring(var.idle_minutes)
    BucketName       = var.bucket_name
    LogDays          = tostring(var.log_days)
    KmsKeyArn        = var.kms_key_arn
    EncryptInTransit = tostring(var.encrypt_in_transit)
    MonthlyBudget    = tostring(var.monthly_budget)
    AlertEmail       = var.alert_email
    JupyterCidr      = var.jupyter_cidr
    Studio           = tostring(var.studio)
    OperatorUser     = var.operator_user
    OperatorRole     = var.operator_role
    OperatorGroup    = var.operator_group
    CreateOperator   = tostring(var.create_operator)
    AllowedRegions   = join(",", var.allowed_regions)
    DenyOtherRegions = tostring(var.deny_other_regions)
  }

  # what `featuremill cloud deploy` would leave as featuremill-cloud.json
  place = {
    stack           = var.stack
    region          = var.region
    account         = split(":", local.outputs["JobRoleArn"])[4]
    outputs         = local.outputs
    allowed_regions = var.allowed_regions
    last_job        = {}
  }
}

# ------------------------------------------------------------------------------- the cluster

locals {
  bucket = local.outputs["Bucket"]
  folder = "/opt/featuremill"
  python = "python3.11"
  # workspaces of a Studio reach a cluster by its gateway
  applications = concat(
    ["Spark", "Livy", "JupyterHub"], var.studio ? ["JupyterEnterpriseGateway"] : []
  )

  families = {
    x86_64 = ["m7i", "m5"]
    arm64  = ["m7g", "m6g"]
  }
  # size of a machine → one executor on it, memory in MB
  sizes = {
    xlarge    = { cores = 4, heap = 2048, overhead = 6144 }
    "2xlarge" = { cores = 8, heap = 2048, overhead = 14336 }
    "4xlarge" = { cores = 16, heap = 4096, overhead = 28672 }
  }
  executor      = local.sizes[var.cluster_size]
  machine_types = [for family in local.families[var.architecture] : "${family}.${var.cluster_size}"]
  idle_seconds  = floor(var.cluster_idle_hours * 3600 + 0.5)

  # the newest archive and its entry point share what their names end with
  entry = replace(
    var.cluster_archive, "/featuremill-[^/]+-([0-9a-f]{12})\\.tar\\.gz$/", "featuremill-job-$1.py"
  )
  scripts = {
    for name in ["install.sh", "jupyterhub.sh", "figures.lock"] :
    name => file("${path.module}/../../src/featuremill/cloud/jobs/bootstrap/${name}")
  }
  # another text has another key
  script_keys = {
    for name, text in local.scripts :
    name => "code/${replace(name, ".", "-${substr(sha256(text), 0, 12)}.")}"
  }
  password_name = "/featuremill/${var.stack}/jupyterhub"

  one_thread = {
    OMP_NUM_THREADS      = "1"
    OPENBLAS_NUM_THREADS = "1"
    MKL_NUM_THREADS      = "1"
    NUMBA_CACHE_DIR      = "./numba"
  }
  workers = merge(local.one_thread, {
    PYTHONPATH     = "${local.folder}/deps"
    PYSPARK_PYTHON = local.python
  })
  exported = merge(local.workers, { PYSPARK_DRIVER_PYTHON = local.python })

  spark = merge(
    {
      "spark.pyspark.python"                     = local.python
      "spark.executor.cores"                     = tostring(local.executor.cores)
      "spark.executor.memory"                    = "${local.executor.heap}m"
      "spark.executor.memoryOverhead"            = "${local.executor.overhead}m"
      "spark.dynamicAllocation.enabled"          = "true"
      "spark.dynamicAllocation.initialExecutors" = tostring(var.cluster_max_nodes)
      "spark.dynamicAllocation.maxExecutors"     = tostring(var.cluster_max_nodes)
      "spark.default.parallelism"                = tostring(var.cluster_max_nodes * local.executor.cores)
      "spark.task.maxFailures"                   = "4"
    },
    { for name, value in local.workers : "spark.yarn.appMasterEnv.${name}" => value },
    { for name, value in local.workers : "spark.executorEnv.${name}" => value },
  )

  configurations = concat(
    [
      for classification in ["spark-env", "livy-env"] : {
        Classification = classification
        Properties     = {}
        Configurations = [{ Classification = "export", Properties = local.exported }]
      }
    ],
    [
      { Classification = "spark-defaults", Properties = local.spark },
      {
        Classification = "jupyter-s3-conf"
        Properties = {
          "s3.persistence.enabled" = "true"
          "s3.persistence.bucket"  = "${local.bucket}/notebooks"
        }
      },
      # where nodes talk by TLS, Livy does too, and nobody but the nodes knows their certificate; a
      # notebook and its Livy are on the same machine
      {
        Classification = "jupyter-sparkmagic-conf"
        Properties     = { "ignore_ssl_errors" = "true" }
      },
    ],
  )
}
