# ---------------------------------------------------------------------------------- where

variable "stack" {
  description = "Name of the CloudFormation stack, and of everything in it."
  type        = string
  default     = "featuremill"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,39}$", var.stack))
    error_message = "stack must be up to 40 letters, digits and hyphens that begin with a letter."
  }
}

variable "region" {
  description = "Where everything is: in the EU, or named in allowed_regions."
  type        = string
  default     = "eu-west-1"

  validation {
    condition     = contains(concat(local.eu_regions, var.allowed_regions), var.region)
    error_message = "region must be in the EU: ${join(", ", local.eu_regions)}; or be named in allowed_regions, if data may leave the EU."
  }
}

variable "template" {
  description = "Path of the CloudFormation template; null for the one in this repository."
  type        = string
  default     = null
}

# ----------------------------------------------- parameters of the template, under its names

variable "architecture" {
  description = "Of the Serverless application and of the cluster: x86_64, or arm64 for Graviton."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture must be x86_64 or arm64."
  }
}

variable "release_label" {
  description = "Of the Serverless application."
  type        = string
  default     = "emr-spark-8.1.0"

  validation {
    condition     = can(regex("^emr-(spark-)?[0-9]+\\.[0-9]+\\.[0-9]+$", var.release_label))
    error_message = "release_label must be one of EMR's, such as emr-spark-8.1.0."
  }
}

variable "maximum_vcpu" {
  description = "vCPUs that the Serverless application may use at once, over all its jobs."
  type        = number
  default     = 16

  validation {
    condition     = var.maximum_vcpu >= 2 && var.maximum_vcpu <= 4000
    error_message = "maximum_vcpu must be from 2 to 4000."
  }
}

variable "idle_minutes" {
  description = "Idle time after which the Serverless application stops itself."
  type        = number
  default     = 15

  validation {
    condition     = var.idle_minutes >= 1 && var.idle_minutes <= 10080
    error_message = "idle_minutes must be from 1 to 10080, which is a week."
  }
}

variable "bucket_name" {
  description = "Of the data bucket; empty for a name that is free."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must be 3 to 63 small letters, digits and hyphens, or empty."
  }
}

variable "log_days" {
  description = "Days after which logs are deleted."
  type        = number
  default     = 30

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365], var.log_days)
    error_message = "log_days must be 7, 14, 30, 60, 90, 180 or 365."
  }
}

variable "kms_key_arn" {
  description = "Key of your own for the bucket and the disks of clusters; empty for S3's own."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^arn:aws:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key, or empty."
  }
}

variable "encrypt_in_transit" {
  description = "Whether the nodes of a cluster talk to each other by TLS."
  type        = bool
  default     = true
}

variable "monthly_budget" {
  description = "USD a month, of the whole account; alerts are sent, nothing is stopped."
  type        = number
  default     = 10

  validation {
    condition     = var.monthly_budget >= 1
    error_message = "monthly_budget must be at least 1 USD."
  }
}

variable "alert_email" {
  description = "Who is told when 50, 80 and 100 % of the budget are used; empty for nobody."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", var.alert_email))
    error_message = "alert_email must be an e-mail address, or empty."
  }
}

variable "jupyter_cidr" {
  description = "Addresses that may reach JupyterHub on 9443; empty for none, and a tunnel."
  type        = string
  default     = ""

  validation {
    # /8 or narrower: 0.0.0.0/0 does not match
    condition     = can(regex("^$|^([0-9]{1,3}\\.){3}[0-9]{1,3}/([89]|[12][0-9]|3[0-2])$", var.jupyter_cidr))
    error_message = "jupyter_cidr must be empty or a range such as 198.51.100.7/32, never 0.0.0.0/0."
  }
}

variable "studio" {
  description = "Whether to make an EMR Studio, signed in to by IAM."
  type        = bool
  default     = false
}

variable "operator_user" {
  description = "IAM user that the operator policies are attached to; empty for none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@-]{0,64}$", var.operator_user))
    error_message = "operator_user must be the name of a user, not its ARN."
  }
}

variable "operator_role" {
  description = "IAM role that the operator policies are attached to; empty for none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@-]{0,64}$", var.operator_role))
    error_message = "operator_role must be the name of a role, not its ARN."
  }
}

variable "operator_group" {
  description = "IAM group that the operator policies are attached to; empty for none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@-]{0,64}$", var.operator_group))
    error_message = "operator_group must be the name of a group, not its ARN."
  }
}

variable "create_operator" {
  description = "Whether to make an IAM user for the operator policies, without any key."
  type        = bool
  default     = false

  validation {
    condition     = !(var.create_operator && var.operator_user != "")
    error_message = "create_operator makes a user, so operator_user must be empty."
  }
}

variable "allowed_regions" {
  description = "Regions outside the EU that are allowed on purpose."
  type        = list(string)
  default     = []
}

variable "deny_other_regions" {
  description = "Whether operators are refused everything in regions that are not allowed."
  type        = bool
  default     = false
}

# -------------------------------------------------- a cluster, as `featuremill cloud cluster up`

variable "cluster" {
  description = "Whether to have a cluster with JupyterHub: about 0.80 USD an hour until it has been idle for cluster_idle_hours."
  type        = bool
  default     = false
}

variable "cluster_archive" {
  description = "Address of the archive, as `featuremill cloud package` prints it; for a cluster only."
  type        = string
  default     = ""

  validation {
    condition     = !var.cluster || can(regex("^s3://[^/]+/code/featuremill-.+-${var.architecture}-[0-9a-f]{12}\\.tar\\.gz$", var.cluster_archive))
    error_message = "cluster_archive must be the address of an archive for ${var.architecture}: run `featuremill cloud package`, which prints it."
  }
}

variable "cluster_size" {
  description = "Of each machine."
  type        = string
  default     = "xlarge"

  validation {
    condition     = contains(keys(local.sizes), var.cluster_size)
    error_message = "cluster_size must be one of ${join(", ", keys(local.sizes))}."
  }
}

variable "cluster_min_nodes" {
  description = "Fewest machines beside the primary: one on demand, the others Spot where there are some."
  type        = number
  default     = 2

  validation {
    condition     = var.cluster_min_nodes >= 1
    error_message = "cluster_min_nodes must be at least 1."
  }
}

variable "cluster_max_nodes" {
  description = "Most machines beside the primary."
  type        = number
  default     = 4

  validation {
    condition     = var.cluster_max_nodes >= var.cluster_min_nodes
    error_message = "cluster_max_nodes must be at least cluster_min_nodes."
  }
}

variable "cluster_idle_hours" {
  description = "Idle time after which the cluster ends itself."
  type        = number
  default     = 3

  validation {
    # EMR takes 60 s to a week
    condition     = var.cluster_idle_hours * 3600 >= 60 && var.cluster_idle_hours <= 168
    error_message = "cluster_idle_hours must be from 0.02 to 168, which is a week."
  }
}

variable "cluster_key_pair" {
  description = "EC2 key pair, for SSH; null for none."
  type        = string
  default     = null
}
