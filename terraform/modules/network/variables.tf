variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "region" {
  description = "Region of the endpoints' service names."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC; it is cut into 16 subnets of equal size, of which two per zone are used at most."
  type        = string

  validation {
    condition     = can(cidrsubnet(var.cidr, 4, 15)) && try(cidrhost(var.cidr, 0) == split("/", var.cidr)[0], false)
    error_message = "cidr must be an IPv4 network such as 10.20.0.0/16."
  }
}

variable "zones" {
  description = "Letters of the availability zones to spread over, two to four; null takes the first two that the account has. Each adds to the price of the endpoints."
  type        = list(string)

  validation {
    condition     = var.zones == null ? true : length(distinct(var.zones)) == length(var.zones) && contains([2, 3, 4], length(var.zones)) && alltrue([for letter in var.zones : can(regex("^[a-z]$", letter))])
    error_message = "zones must be two to four letters, such as [\"a\", \"b\"]: a load balancer needs two zones."
  }
}

variable "table_arn" {
  description = "ARN of the only table that can be reached from the VPC."
  type        = string
}

variable "endpoint_policies" {
  description = "Whether the gateways lead only to the table and to ECR's layers. MiniStack does not report it."
  type        = bool
}

variable "public" {
  description = "Whether the VPC has subnets that the internet reaches, for the load balancer."
  type        = bool
}

variable "interface_endpoints" {
  description = "Whether ECR and CloudWatch Logs have endpoints in the VPC, without which no task starts on AWS."
  type        = bool
}
