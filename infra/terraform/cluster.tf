# A cluster as `featuremill cloud cluster up` starts it: Spark, Livy and JupyterHub, one on-demand
# primary, one on-demand core node, task nodes on Spot machines, ended when idle.

resource "aws_emr_cluster" "notebooks" {
  # checkov:skip=CKV2_AWS_7:The groups are the stack's; no address gets in that jupyter_cidr does not name.
  count = var.cluster ? 1 : 0

  # `featuremill cloud notebook` finds it by this name
  name                              = "${var.stack}-notebooks"
  release_label                     = "emr-7.14.0"
  applications                      = local.applications
  service_role                      = local.outputs["ServiceRole"]
  security_configuration            = local.outputs["SecurityConfiguration"]
  log_uri                           = "s3://${local.bucket}/logs/emr/"
  configurations_json               = jsonencode(local.configurations)
  scale_down_behavior               = "TERMINATE_AT_TASK_COMPLETION"
  visible_to_all_users              = true
  termination_protection            = false
  keep_job_flow_alive_when_no_steps = true

  ec2_attributes {
    subnet_ids                        = [local.outputs["SubnetId"], local.outputs["SecondSubnetId"]]
    emr_managed_master_security_group = local.outputs["PrimarySecurityGroup"]
    emr_managed_slave_security_group  = local.outputs["CoreSecurityGroup"]
    instance_profile                  = local.outputs["InstanceProfile"]
    key_name                          = var.cluster_key_pair
  }

  master_instance_fleet {
    name                      = "master"
    target_on_demand_capacity = 1

    dynamic "instance_type_configs" {
      for_each = local.machine_types

      content {
        instance_type = instance_type_configs.value
      }
    }

    launch_specifications {
      on_demand_specification {
        allocation_strategy = "lowest-price"
      }
    }
  }

  core_instance_fleet {
    name                      = "core"
    target_on_demand_capacity = 1

    dynamic "instance_type_configs" {
      for_each = local.machine_types

      content {
        instance_type     = instance_type_configs.value
        weighted_capacity = 1
      }
    }

    launch_specifications {
      on_demand_specification {
        allocation_strategy = "lowest-price"
      }
    }
  }

  auto_termination_policy {
    idle_timeout = local.idle_seconds
  }

  bootstrap_action {
    name = "install featuremill"
    path = "s3://${local.bucket}/${local.script_keys["install.sh"]}"
    # what the notebook draws with, which the archive does not have
    args = [
      var.cluster_archive,
      local.entry,
      local.folder,
      "s3://${local.bucket}/${local.script_keys["figures.lock"]}",
    ]
  }

  step {
    name = "replace JupyterHub's published password"
    # better no cluster than one that everybody knows the password of
    action_on_failure = "TERMINATE_CLUSTER"

    hadoop_jar_step {
      jar = "command-runner.jar"
      args = [
        "bash",
        "-c",
        "set -o pipefail; aws s3 cp s3://${local.bucket}/${local.script_keys["jupyterhub.sh"]} - | bash -s -- ${local.password_name} ${var.region}",
      ]
    }
  }

  # AmazonEMRServicePolicy_v2 lets the service touch only what carries this
  tags = {
    for-use-with-amazon-emr-managed-policies = "true"
  }

  depends_on = [aws_s3_object.script, aws_ssm_parameter.jupyterhub, terraform_data.certificate]

  lifecycle {
    # steps of people and managed scaling change these; Terraform would replace the cluster
    ignore_changes = [step, core_instance_fleet]

    precondition {
      condition     = startswith(var.cluster_archive, "s3://${local.bucket}/")
      error_message = "cluster_archive must be in s3://${local.bucket}: machines may read no other bucket."
    }
  }
}

resource "aws_emr_instance_fleet" "task" {
  # a fleet of nothing is refused
  count = var.cluster && var.cluster_min_nodes > 1 ? 1 : 0

  cluster_id           = aws_emr_cluster.notebooks[0].id
  name                 = "task"
  target_spot_capacity = var.cluster_min_nodes - 1

  dynamic "instance_type_configs" {
    for_each = local.machine_types

    content {
      instance_type     = instance_type_configs.value
      weighted_capacity = 1
    }
  }

  launch_specifications {
    spot_specification {
      allocation_strategy      = "price-capacity-optimized"
      timeout_action           = "SWITCH_TO_ON_DEMAND"
      timeout_duration_minutes = 10
    }

    on_demand_specification {
      allocation_strategy = "lowest-price"
    }
  }

  lifecycle {
    # managed scaling changes them
    ignore_changes = [target_spot_capacity, target_on_demand_capacity]
  }
}

resource "aws_emr_managed_scaling_policy" "notebooks" {
  count = var.cluster ? 1 : 0

  cluster_id = aws_emr_cluster.notebooks[0].id

  compute_limits {
    unit_type              = "InstanceFleetUnits"
    minimum_capacity_units = var.cluster_min_nodes
    maximum_capacity_units = var.cluster_max_nodes
    # what is added is task nodes, on Spot machines
    maximum_core_capacity_units     = 1
    maximum_ondemand_capacity_units = 1
  }

  depends_on = [aws_emr_instance_fleet.task]
}

# ------------------------------------------------------------------------- what nodes fetch

resource "aws_s3_object" "script" {
  for_each = { for name, key in local.script_keys : name => key if var.cluster }

  bucket  = local.bucket
  key     = each.value
  content = local.scripts[each.key]
}

# Neither plan nor state ever holds it; `featuremill cloud notebook --password` shows it.
ephemeral "aws_secretsmanager_random_password" "jupyterhub" {
  count = var.cluster ? 1 : 0

  password_length     = 32
  exclude_punctuation = true
}

resource "aws_ssm_parameter" "jupyterhub" {
  count = var.cluster ? 1 : 0

  name             = local.password_name
  type             = "SecureString"
  value_wo         = ephemeral.aws_secretsmanager_random_password.jupyterhub[0].random_password
  value_wo_version = 1
}

# Made once and never replaced: nodes that join a running cluster need the one the others have.
resource "terraform_data" "certificate" {
  count = var.cluster && var.encrypt_in_transit ? 1 : 0

  triggers_replace = [local.bucket]

  provisioner "local-exec" {
    command     = "sh certificate.sh \"$BUCKET\" \"$REGION\""
    working_dir = path.module

    environment = {
      BUCKET = local.bucket
      REGION = var.region
    }
  }
}
