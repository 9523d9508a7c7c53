output "results" {
  description = "Where the results are; null without images."
  value       = var.images == null ? null : "${local.folder}/results"
}
