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

variable "zone_count" {
  description = "Number of availability zones to spread over."
  type        = number

  validation {
    condition     = contains([2, 3, 4], var.zone_count)
    error_message = "zone_count must be 2, 3 or 4: a load balancer needs two zones."
  }
}

variable "public" {
  description = "Whether the VPC has subnets that the internet reaches, for the load balancer."
  type        = bool
}

variable "interface_endpoints" {
  description = "Whether ECR and CloudWatch Logs have endpoints in the VPC, without which no task starts on AWS."
  type        = bool
}
