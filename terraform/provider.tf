locals {
  emulated = var.endpoint_url != null

  # A task has its role's credentials on AWS. Those that MiniStack offers to a task, the SDK refuses: not from a loopback
  # address.
  credentials = local.emulated ? { AWS_ACCESS_KEY_ID = "test", AWS_SECRET_ACCESS_KEY = "test" } : {}
}

provider "aws" {
  region = var.region

  # The SDK's usual ways on AWS. An emulator never gets to see real credentials, and no call that it does not serve can
  # reach a real account.
  access_key = local.emulated ? "test" : null
  secret_key = local.emulated ? "test" : null

  skip_credentials_validation = local.emulated
  skip_metadata_api_check     = local.emulated
  # Waits between tries double: an emulator that is not there should be reported at once.
  max_retries = local.emulated ? 2 : 25

  endpoints {
    applicationautoscaling = var.endpoint_url
    cloudwatch             = var.endpoint_url
    dynamodb               = var.endpoint_url
    ec2                    = var.endpoint_url
    ecr                    = var.endpoint_url
    ecs                    = var.endpoint_url
    elbv2                  = var.endpoint_url
    iam                    = var.endpoint_url
    lambda                 = var.endpoint_url
    logs                   = var.endpoint_url
    scheduler              = var.endpoint_url
    sqs                    = var.endpoint_url
    sts                    = var.endpoint_url
  }

  default_tags {
    tags = { application = var.name }
  }
}

data "aws_caller_identity" "current" {}
