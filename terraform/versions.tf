terraform {
  # 1.10 is the first whose S3 backend locks by itself (README.md, "Remote state").
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # The tasks say where the state goes, one file for each ENV.
  backend "local" {}
}
