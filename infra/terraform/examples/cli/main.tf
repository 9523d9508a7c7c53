# Drives the command line of featuremill: for people whose other infrastructure is Terraform's, and
# who want one `apply` and one `destroy` for all of it. It needs no provider but Terraform's own.
#
# Credentials, profile and endpoint are those of the environment (AWS_PROFILE and so on).

terraform {
  required_version = ">= 1.11, < 2.0"
}

locals {
  # relative to where terraform is started
  folder = abspath(var.folder)
  # values reach the shell as variables of the environment, so none of them is read as a command
  environment = {
    FEATUREMILL  = var.featuremill
    STACK        = var.stack
    REGION       = var.region
    ARCHITECTURE = var.architecture
    BUDGET       = var.budget
    EMAIL        = var.email
    NAME         = var.name
    IMAGES       = var.images == null ? "" : abspath(var.images)
  }
  deployed_with = [var.architecture, var.budget, var.email]
  runs          = var.images == null ? 0 : 1
}

# What takes everything down. It comes first, so it is destroyed last. Where `deploy` never came to
# its end there is no file, and CloudFormation has taken back what was made.
resource "terraform_data" "stack" {
  input = {
    folder      = local.folder
    featuremill = var.featuremill
  }
  triggers_replace = [local.folder, var.stack, var.region]

  provisioner "local-exec" {
    when = destroy
    # a destroy-time provisioner may refer to nothing but the resource itself
    command     = "test ! -e featuremill-cloud.json || \"$FEATUREMILL\" cloud destroy --yes"
    working_dir = self.input.folder
    environment = { FEATUREMILL = self.input.featuremill }
  }
}

# A change of its options deploys again, which changes the stack and keeps what is in it.
resource "terraform_data" "deployed" {
  triggers_replace = [terraform_data.stack.id, local.deployed_with]

  provisioner "local-exec" {
    command     = "\"$FEATUREMILL\" cloud deploy --yes --stack \"$STACK\" --region \"$REGION\" --architecture \"$ARCHITECTURE\" --budget \"$BUDGET\" --email \"$EMAIL\""
    working_dir = local.folder
    environment = local.environment
  }
}

resource "terraform_data" "uploaded" {
  count            = local.runs
  triggers_replace = [terraform_data.stack.id, local.environment.IMAGES]
  depends_on       = [terraform_data.deployed]

  provisioner "local-exec" {
    command     = "\"$FEATUREMILL\" cloud upload \"$IMAGES\""
    working_dir = local.folder
    environment = local.environment
  }
}

resource "terraform_data" "packaged" {
  count            = local.runs
  triggers_replace = [terraform_data.stack.id, var.architecture]
  depends_on       = [terraform_data.deployed]

  provisioner "local-exec" {
    command     = "\"$FEATUREMILL\" cloud package"
    working_dir = local.folder
    environment = local.environment
  }
}

resource "terraform_data" "results" {
  count = local.runs
  triggers_replace = [
    terraform_data.uploaded[0].id,
    terraform_data.packaged[0].id,
    var.name,
  ]

  provisioner "local-exec" {
    command     = "\"$FEATUREMILL\" cloud submit --wait --name \"$NAME\""
    working_dir = local.folder
    environment = local.environment
  }

  provisioner "local-exec" {
    command     = "\"$FEATUREMILL\" cloud fetch results --name \"$NAME\""
    working_dir = local.folder
    environment = local.environment
  }
}
