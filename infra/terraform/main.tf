# Everything is in the template, which `featuremill cloud deploy` uses too.
resource "aws_cloudformation_stack" "featuremill" {
  # checkov:skip=CKV_AWS_124:Terraform waits for the stack and tells itself why it failed.
  name          = var.stack
  template_body = local.template_body
  parameters    = local.parameters
  capabilities  = ["CAPABILITY_NAMED_IAM"]
}

locals {
  outputs = aws_cloudformation_stack.featuremill.outputs
}

# Beside the stack: CloudFormation replaces a budget whose alerts get another address, which one with
# a name does not survive.
resource "aws_budgets_budget" "monthly" {
  name         = "${var.stack}-${var.region}-monthly"
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = tostring(var.monthly_budget)
  limit_unit   = "USD"

  cost_types {
    # credits would hide what is used until they are gone
    include_credit = false
    include_refund = false
  }

  dynamic "notification" {
    for_each = var.alert_email == "" ? [] : [50, 80, 100]

    content {
      notification_type          = "ACTUAL"
      comparison_operator        = "GREATER_THAN"
      threshold                  = notification.value
      threshold_type             = "PERCENTAGE"
      subscriber_email_addresses = [var.alert_email]
    }
  }
}
