terraform {
  # 1.11: arguments that are written and never kept, which the password of JupyterHub is
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # 6.25 is what schema.json was taken from
      version = ">= 6.25, < 7.0"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    # `featuremill cloud` knows what is its own by this tag
    tags = {
      featuremill = var.stack
    }
  }
}
