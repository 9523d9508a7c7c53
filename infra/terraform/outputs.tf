output "bucket" {
  description = "Name of the data bucket."
  value       = local.bucket
}

output "application_id" {
  description = "Of the EMR Serverless application."
  value       = local.outputs["ApplicationId"]
}

output "architecture" {
  description = "Of the application."
  value       = local.outputs["Architecture"]
}

output "job_role_arn" {
  description = "Role of jobs on the application."
  value       = local.outputs["JobRoleArn"]
}

output "log_group" {
  description = "Where the driver of a running job logs."
  value       = local.outputs["LogGroup"]
}

output "budget_name" {
  description = "Name of the monthly budget."
  value       = local.outputs["BudgetName"]
}

output "operator_policy_arn" {
  description = "Policy of people who work with the stack."
  value       = local.outputs["OperatorPolicyArn"]
}

output "studio_url" {
  description = "Of the EMR Studio; null without one."
  value       = lookup(local.outputs, "StudioUrl", null)
}

output "cluster_id" {
  description = "Of the cluster; null without one."
  value       = one(aws_emr_cluster.notebooks[*].id)
}

output "jupyterhub_url" {
  description = "Of the cluster; null without one. Without jupyter_cidr it is this end of the tunnel that `featuremill cloud notebook` opens."
  value = one([
    for cluster in aws_emr_cluster.notebooks :
    "https://${var.jupyter_cidr == "" ? "localhost" : cluster.master_public_dns}:9443"
  ])
}

output "place" {
  description = "What featuremill-cloud.json is to hold, for `featuremill cloud` in a folder."
  value       = jsonencode(local.place)
}
