variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "region" {
  description = "Region that the service runs in and calls DynamoDB in."
  type        = string
}

variable "account_id" {
  description = "The account: only its tasks may take the roles."
  type        = string
}

variable "network" {
  description = "Where to run: the outputs of the module network."
  type = object({
    vpc_id             = string
    cidr               = string
    private_subnet_ids = list(string)
    public_subnet_ids  = list(string)
  })
}

variable "table_name" {
  description = "The table."
  type        = string
}

variable "table_arn" {
  description = "ARN of the table."
  type        = string
}

variable "image" {
  description = "The API's image, with a tag or a digest; null as long as there is none, and then no service is made."
  type        = string
}

variable "served_image" {
  description = "The image that served last, which sweeps run; null as long as there is none, and then no schedule is made."
  type        = string
}

variable "architecture" {
  description = "Machine type of the image: arm64 or x86_64."
  type        = string
}

variable "task_cpu" {
  description = "CPU of a task in Fargate's units; 1024 are one core."
  type        = number
}

variable "task_memory_mib" {
  description = "Memory of a task in MiB."
  type        = number
}

variable "autoscaling" {
  description = "Whether the number of tasks follows the load; else it is tasks_min."
  type        = bool
}

variable "tasks_min" {
  description = "Least number of tasks."
  type        = number
}

variable "tasks_max" {
  description = "Greatest number of tasks."
  type        = number
}

variable "cpu_target_percent" {
  description = "Average CPU that the number of tasks is adjusted to."
  type        = number
}

variable "requests_per_task_target" {
  description = "Requests a minute and task that the number of tasks is adjusted to."
  type        = number
}

variable "operation_deadline_ms" {
  description = "Longest time to an answer, in milliseconds."
  type        = number
}

variable "heal_after_s" {
  description = "Seconds after which nothing that was reserved before can become an entry any more."
  type        = number
}

variable "own_ids_in_batches" {
  description = "Whether services under callers' own ids that come together are stored with one call."
  type        = bool
}

variable "services_slots" {
  description = "Partitions of each new account's ledger."
  type        = number
}

variable "max_connections" {
  description = "Most connections that a task has at a time."
  type        = number
}

variable "log_level" {
  description = "Least level that is logged."
  type        = string
}

variable "environment" {
  description = "Further environment variables of the container."
  type        = map(string)
}

variable "sweep_interval_minutes" {
  description = "Minutes between two sweeps, which heal drifted counters."
  type        = number
}

variable "public" {
  description = "Whether the load balancer is on the internet."
  type        = bool
}

variable "allowed_cidrs" {
  description = "Networks that may call the API, beside the VPC itself."
  type        = list(string)
}

variable "certificate_arn" {
  description = "Certificate for HTTPS; null serves plain HTTP."
  type        = string
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete the load balancer, and Terraform a repository with images in it."
  type        = bool
}

variable "log_retention_days" {
  description = "Days that the API's log is kept."
  type        = number
}
